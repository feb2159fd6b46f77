#!/bin/sh
# SPDX-License-Identifier: MIT
# two_files.sh FOLDER [DEPFILE] - write the core into FOLDER as two files,
# weir.h and weir.c, to be compiled as a program's own: cc -pthread -c weir.c
#
# Each header stands where it is first included, each source follows whole.
# What was private to a source stays so: its macros end with it, and a static
# name or tag that another source has too gets the source's behind it.
# DEPFILE, if any, tells Make or Ninja what the two were made of. It needs
# nothing but a POSIX shell and awk.
set -eu
LC_ALL=C root=$(dirname "$0")/.. out=$1 depfile=${2-}
export LC_ALL root out depfile

set --
for part in sys base queue table gate writer pool group; do
    set -- "$@" "$root/src/$part"/*.c
done

awk '
function fail(text)
{
    print "two_files.sh: " text | "cat >&2"
    exit 1
}

# Read a file whole into text[file, 1 ... lines[file]].
function read(file, line, got)
{
    if (lines[file])
        return
    while ((got = (getline line < file)) > 0)
        text[file, ++lines[file]] = line
    if (got < 0 || lines[file] == 0)
        fail(file ": cannot be read, or empty")
    close(file)
    made_of = made_of " \\\n  " file
}

# Open one of the two files: what it is, and the licence.
function begin(to, what, i)
{
    print "/* SPDX-License-Identifier: MIT\n * " what > to
    print " * Weir " version ": written by src/two_files.sh\n" > to
    for (i = 1; i <= lines[licence]; i++)
        print text[licence, i] > to
    print " */" > to
}

# The static name or tag that a line of a source begins to define, or "".
function private_name(line)
{
    if (line ~ /^static /) {
        sub(/[(\[=;].*/, "", line)
        sub(/ *$/, "", line)
        sub(/.*[ *]/, "", line)
        return line
    }
    if (line ~ /^(struct|union|enum) [a-z_]+ \{/) {
        split(line, part, " ")
        return part[2]
    }
    return ""
}

# Count the sources that have a name of their own each.
function count_names(file, i, name, seen)
{
    read(file)
    for (i = 1; i <= lines[file]; i++) {
        name = private_name(text[file, i])
        if (name != "" && !seen[name]++)
            sources_with[name]++
    }
}

# Write a file to `to`, with the headers it includes that are not there yet,
# and forget the macros of its own: those without the prefix.
function expand(file, to, i, line, n, own, name, here, stem)
{
    done[file] = 1
    read(file)
    print "\n/* ---- " substr(file, length(root) + 2) " ---- */" > to
    stem = substr(file, length(root "/src/") + 1)
    sub(/\.c$/, "", stem)
    sub(/\//, "_", stem)
    for (i = 1; i <= lines[file]; i++) {
        line = text[file, i]
        name = file ~ /\.c$/ ? private_name(line) : ""
        if (sources_with[name] > 1 && !here[name]++) {
            print "#define " name " " name "_in_" stem > to
            own[++n] = name
        }
        if (line ~ /^#include (<weir\/|")/) {
            split(line, part, /[<">]/)
            include(part[2], to)
        } else {
            print line > to
        }
        if (line ~ /^#define / && line !~ /^#define (WEIR_|weir_|_)/) {
            sub(/^#define /, "", line)
            sub(/[^A-Za-z0-9_].*/, "", line)
            own[++n] = line
        }
    }
    for (i = 1; i <= n; i++)
        print "#undef " own[i] > to
}

# What `to` gets where a file includes `name`.
function include(name, to, file)
{
    file = root (name ~ /^weir\// ? "/include/" : "/src/") name
    if (name ~ /^weir\// && to != header) {
        file = header
        if (!done[file])
            print "#include \"weir.h\"" > to
    } else if (!done[file]) {
        expand(file, to)
    }
    done[file] = 1
}

BEGIN {
    root = ENVIRON["root"]
    header = ENVIRON["out"] "/weir.h"
    source = ENVIRON["out"] "/weir.c"
    licence = root "/LICENSE"
    base = root "/include/weir/base.h"
    read(licence)
    read(base)
    for (i = 1; i <= lines[base]; i++)
        if (text[base, i] ~ /^#define WEIR_VERSION "/) {
            split(text[base, i], part, "\"")
            version = part[2]
        }
    begin(header, "weir.h - a worker pool on POSIX threads, with weir.c")
    include("weir/weir.h", header)
    begin(source, "weir.c - what weir.h declares: cc -pthread -c weir.c")
    for (i = 1; i < ARGC; i++)
        count_names(ARGV[i])
    for (i = 1; i < ARGC; i++)
        expand(ARGV[i], source)
    if (ENVIRON["depfile"] != "")
        print "weir.c weir.h:" made_of > ENVIRON["depfile"]
}' "$@"
