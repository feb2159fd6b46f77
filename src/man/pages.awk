# SPDX-License-Identifier: MIT
# pages.awk - the manual pages of the public headers, from their comments.
#
#   awk -v names=1 -f pages.awk HEADER...
#       prints the names of the pages: weir_pool.3 for pool.h, and one for
#       each function, which leads there
#   awk -v out=FOLDER -v version=V -f pages.awk HEADER...
#       writes them
#
# It reads what the headers are made of and nothing else: one comment that
# opens the file; constants, types and functions, each with a comment before
# it or behind it. Whatever it does not know ends it with the line's number,
# so that nothing is left out in silence. POSIX awk.

# The header that includes the others has no page of its own.
FNR == 1 {
    umbrella = FILENAME ~ /(^|\/)weir\.h$/
    if (concept != "" && !umbrella)
        finish()
    if (!umbrella)
        begin()
}
umbrella { next }

# ---- comments before what they speak of ----

comment != "" {
    comment = comment "\n" $0
    if (!/\*\/$/)
        next
    end_comment()
    next
}

/^\/\*/ {
    flush()
    comment = $0
    if (/\*\/$/)
        end_comment()
    next
}

/^$/ && body == "" && code == "" {
    flush()
    next
}

# ---- the bodies of structs and enums ----

body != "" {
    if (/^};$/)
        end_body()
    else
        body = body "\n" $0
    next
}

/^(struct|enum) [a-z_]+ \{$/ {
    if (tags != "")
        flush()
    type_name = $1 " " $2
    body = "\n"
    next
}

# ---- functions and function types, on one line or several ----

/^(WEIR_API|static inline|typedef) / {
    code = $0
    if (/;$/)
        end_code()
    next
}

skip {
    skip = !/^}$/
    next
}

code != "" && /^[{]$/ {
    end_code()
    skip = 1
    next
}

code != "" {
    code = code "\n" $0
    if (/;$/)
        end_code()
    next
}

# ---- constants, and what a page does not tell ----

/^#define WEIR_[A-Z]+_H$/ || /^#define WEIR_API/ { next }

/^#define WEIR_[A-Z_]+ / {
    constant($2, /\/\*/ ? behind($0) : "")
    next
}

/^#include <weir\// {
    sub(/.*\//, "")
    sub(/\.h>$/, "")
    related = related ".BR weir_" $0 " (3),\n"
    next
}

/^#(if|ifdef|ifndef|else|elif|endif|include)/ { next }
/^extern "C" \{$/ || /^}$/ { next }

# A type whose members are private.
/^struct weir_[a-z_]+;/ {
    sub(/;.*/, "", $2)
    opaque = opaque "struct " $2 ";\n"
    if (/\/\*/)
        types = types ".SS struct " $2 "\n" prose(behind($0))
    next
}

{ fail("what is this?") }

END {
    if (failed)
        exit 1
    if (comment != "" || body != "" || code != "")
        fail("the file ends within it")
    finish()
}

# ---- the parts of a page, as they are met ----

function begin() {
    concept = FILENAME
    sub(/.*\//, "", concept)
    sub(/\.h$/, "", concept)
    page = "weir_" concept
    summary = described = constants = types = functions = ""
    synopsis = opaque = listed = related = about = tags = kind = ""
}

function fail(why) {
    print FILENAME ":" FNR ": " why ": " $0 > "/dev/stderr"
    failed = 1
    exit 1
}

# A comment has ended: that of the file, or one for what comes next.
function end_comment(text) {
    text = comment
    comment = ""
    sub(/^\/\* ?/, "", text)
    sub(/[ \n]*\*\/$/, "", text)
    gsub(/\n \* /, "\n", text)
    gsub(/\n \*/, "\n", text)
    if (summary != "") {
        about = text
        return
    }
    if (text !~ /^SPDX-License-Identifier: MIT\n[a-z]+\.h - /)
        fail("a file begins with its licence and a line on what it is")
    sub(/^[^\n]*\n[a-z]+\.h - /, "", text)
    summary = text
    sub(/\.(\n.*)?$/, "", summary)
    sub(/^[^\n]*\n*/, "", text)
    described = prose(text)
}

# What a comment spoke of has been met: put it behind its names.
function flush() {
    if (tags == "" && about != "")
        fail("a comment that belongs to nothing ends before")
    if (kind == "constant")
        constants = constants tags (about == "" ? "" : prose(about))
    else if (kind == "function")
        functions = functions tags prose(about)
    else if (kind == "typedef")
        types = types tags prose(about)
    about = tags = kind = ""
}

function constant(name, text) {
    if (text != "")
        flush()
    kind = "constant"
    tags = tags (tags == "" ? ".TP\n" : ".TQ\n") ".B " name "\n"
    if (text != "") {
        constants = constants tags prose(text)
        tags = ""
    } else if (about == "") {
        constants = constants tags
        tags = ""
    }
}

# A declaration has ended.
function end_code(plain, name) {
    plain = code
    code = ""
    sub(/;$/, "", plain)
    if (plain ~ /^typedef /) {
        kind = "typedef"
        tags = ".SS " verbatim(plain) "\n"
        return
    }
    sub(/^(WEIR_API|static inline) /, "", plain)
    name = plain
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    if (name !~ /^weir_[a-z_]+$/)
        fail("the name of a function was not found")
    if (about == "" && tags == "")
        fail("a function without a comment")
    kind = "function"
    tags = tags ".SS " name "(" parameters(plain) ")\n"
    listed = listed (listed == "" ? "" : " ") name
    synopsis = synopsis "\n" declared(plain, name)
}

# The names alone: "pool, jobs, count, deadline".
function parameters(text, n, i, c, depth, one, all) {
    gsub(/\n */, " ", text)
    sub(/^[^(]*\(/, "", text)
    sub(/\)$/, ",", text)
    n = length(text)
    for (i = 1; i <= n; i++) {
        c = substr(text, i, 1)
        depth += (c == "(") - (c == ")")
        if (c != "," || depth != 0) {
            one = one c
            continue
        }
        if (one ~ /\(\*/) { # a function: its name stands in parentheses
            sub(/.*\(\*/, "", one)
            sub(/\).*/, "", one)
        }
        sub(/.*[ *]/, "", one)
        if (one != "void")
            all = all (all == "" ? "" : ", ") "\\fI" one "\\fR"
        one = ""
    }
    return all
}

# A declaration as the header has it.
function declared(text, name) {
    gsub(/\n         /, "\n", text) # what stood below WEIR_API
    text = verbatim(text) ";\n"
    sub(name, "\\fB" name "\\fR", text)
    return text
}

# ---- structs and enums ----

# A comment behind code, as one line of text.
function behind(text) {
    sub(/^[^\/]*\/\* */, "", text)
    sub(/ *\*\/.*/, "", text)
    return text
}

# A body has ended: each member or value, with the comment before or behind.
function end_body(text, n, c, at, word, ended, gap, before, group, late) {
    text = body
    body = ""
    types = types ".SS " type_name "\n" prose(about)
    about = ""
    ended = type_name ~ /^enum/ ? "," : ";"
    if (ended == ",")
        text = text ","
    before = group = late = ""
    while (text ~ /[^ \n,]/) {
        match(text, /^[ \n]*/)
        gap = substr(text, 1, RLENGTH)
        text = substr(text, RLENGTH + 1)
        if (gap ~ /\n *\n/) { # a blank line: what was before is over
            members(group late, before)
            group = late = before = ""
        }
        if (substr(text, 1, 2) == "/*") {
            at = index(text, "*/")
            c = substr(text, 3, at - 3)
            text = substr(text, at + 2)
            gsub(/\n *\*? */, "\n", c)
            gsub(/^ +| +$/, "", c)
            if (late != "" && gap !~ /\n/) { # behind the latest one
                members(group, before)
                members(late, c)
                before = ""
            } else {
                members(group late, before)
                before = c
            }
            group = late = ""
            continue
        }
        for (n = 1; n <= length(text); n++) {
            c = substr(text, n, 1)
            if (c == ended && word_open(substr(text, 1, n)) == 0)
                break
            # The last value of an enum may have its comment and no comma.
            if (ended == "," && substr(text, n, 2) == "/*")
                break
        }
        word = substr(text, 1, n - 1)
        text = substr(text, c == ended ? n + 1 : n)
        gsub(/[ \n]+/, " ", word)
        sub(/ *(= .*)?$/, "", word)
        if (word == "" || word ~ /reserved/)
            continue
        group = group late
        late = word (ended == "," ? "" : ";") "\n"
    }
    members(group late, before)
}

# How many parentheses are open at the end of a text.
function word_open(text, copy) {
    copy = text
    return gsub(/\(/, "", copy) - gsub(/\)/, "", copy)
}

# Some members that share one comment, or have none.
function members(list, text, n, name, i) {
    n = split(list, name, "\n")
    for (i = 1; i < n; i++)
        types = types (i == 1 ? ".TP\n" : ".TQ\n") ".B \"" \
            verbatim(name[i]) "\"\n"
    if (n > 1 && text != "")
        types = types prose(text)
    else if (text != "")
        fail("a comment that belongs to no member of " type_name)
}

# ---- text as the formatter wants it ----

function verbatim(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/"/, "\\(dq", text)
    return text
}

# Names in the fonts that manuals have them in.
function marked(text, out, word, name) {
    name = "`[^`]+`|-E[A-Z]+|weir_[a-z_]+|WEIR_[A-Z_]+|[a-z]+[.]h[a-z]*"
    while (match(text, name)) {
        word = substr(text, RSTART, RLENGTH)
        out = out verbatim_but_hyphens(substr(text, 1, RSTART - 1))
        text = substr(text, RSTART + RLENGTH)
        if (word ~ /^`/)
            word = "\\fI" verbatim(substr(word, 2, length(word) - 2)) "\\fR"
        else if (word ~ /\.h$/)
            word = "\\fBweir_" substr(word, 1, length(word) - 2) "\\fR(3)"
        else if (word !~ /\./)
            word = "\\fB" verbatim(word) "\\fR"
        out = out word
    }
    out = out verbatim_but_hyphens(text)
    return out ~ /^[.']/ ? "\\&" out : out
}

# In text a hyphen is one, but before a digit that follows a space.
function verbatim_but_hyphens(text) {
    gsub(/\\/, "\\e", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/ -1/, " \\-1", text)
    gsub(/1e-/, "1e\\-", text)
    return text
}

# Paragraphs; lines that are indented are code; words in capitals before a
# full stop say what a paragraph is about.
function prose(text, n, line, i, lines, blank, out, started) {
    n = split(text, line, "\n")
    for (i = 1; i <= n; i++) {
        if (line[i] == "") {
            blank = 1
            continue
        }
        if (line[i] ~ /^  /) {
            lines = lines (lines != "" && blank ? "\n" : "") \
                substr(line[i], 3) "\n"
            blank = 0
            continue
        }
        out = out example(lines)
        if (lines != "" || (started &&
            (blank || line[i] ~ /^(Returns:?|Requires:)( |$)/)))
            out = out ".PP\n"
        if ((blank || !started) && match(line[i], /^[A-Z][A-Z ]+\. /)) {
            out = out ".B " substr(line[i], 1, RLENGTH - 1) "\n"
            line[i] = substr(line[i], RLENGTH + 1)
        }
        out = out marked(line[i]) "\n"
        lines = ""
        blank = 0
        started = 1
    }
    return out example(lines)
}

# Lines of code, further in than the text, but within 80 columns.
function example(text, n, line, i, widest, out) {
    if (text == "")
        return ""
    n = split(text, line, "\n")
    for (i = 1; i < n; i++) {
        widest = length(line[i]) > widest ? length(line[i]) : widest
        out = out (line[i] ~ /^[.]/ ? "\\&" : "") verbatim(line[i]) "\n"
    }
    return ".PP\n.nf\n.in " (widest > 70 ? 80 - widest : 10) "n\n" out \
        ".in\n.fi\n"
}

# ---- a page has ended ----

function finish(file, n, name, i) {
    flush()
    if (summary == "")
        fail("it has no comment that opens it")
    n = split(listed, name, " ")
    if (names) {
        print page ".3"
        for (i = 1; i <= n; i++)
            print name[i] ".3"
        return
    }
    file = out "/" page ".3"
    printf ".\\\" SPDX-License-Identifier: MIT\n" > file
    printf ".\\\" Made from <weir/%s.h> by pages.awk.\n", concept > file
    printf ".TH %s 3 2026 \"Weir %s\" \"Library Functions\"\n",
        toupper(page), version > file
    printf ".ad l\n.nh\n.ss 12 0\n.SH NAME\n%s", page > file
    for (i = 1; i <= n; i++)
        printf ",\n%s", name[i] > file
    printf " \\- %s\n", marked(summary) > file
    printf ".SH SYNOPSIS\n.nf\n.B #include <weir/%s.h>\n", concept > file
    printf "%s%s.fi\n", (opaque == "" ? "" : "\n" opaque), synopsis > file
    printf ".SH DESCRIPTION\n%s", described > file
    if (constants != "")
        printf ".SH CONSTANTS\n%s", constants > file
    if (types != "")
        printf ".SH TYPES\n%s", types > file
    if (functions != "")
        printf ".SH FUNCTIONS\n%s", functions > file
    printf ".SH SEE ALSO\n%s.BR weir (7)\n", related > file
    close(file)
    for (i = 1; i <= n; i++) {
        file = out "/" name[i] ".3"
        printf ".so man3/%s.3\n", page > file
        close(file)
    }
}
