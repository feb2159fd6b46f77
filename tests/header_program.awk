# SPDX-License-Identifier: MIT
# header_program.awk - print the program that the opening comment of a public
# header shows: the first lines of code that define main().
#
#   awk -f header_program.awk HEADER
#
# Code is what stands two columns further in than the text. POSIX awk.
/\*\// { exit }

/^ \*   / {
    code = code blank substr($0, 6) "\n"
    blank = ""
    if (/^ \*   int main\(/)
        found = 1
    next
}

/^ \*$/ && code != "" {
    blank = blank "\n"
    next
}

found { exit }
{ code = blank = "" }

END {
    if (!found) {
        print "header_program.awk: no program in " FILENAME > "/dev/stderr"
        exit 1
    }
    printf "%s", code
}
