#!/bin/sh
# SPDX-License-Identifier: MIT
# ways.sh ROOT WAY COMPILER... - from an empty folder to a program that runs,
# by the lines of the README. WAY is meson, installed or two-files; COMPILER is
# what `cc` runs. Prints TAP and the time of the way itself.
set -u
root=$(cd "$1" && pwd) way=$2
here=$(cd "$(dirname "$0")" && pwd)
shift 2
unset CDPATH DESTDIR CFLAGS LDFLAGS PKG_CONFIG_PATH LD_LIBRARY_PATH
# Anything that tries to use the network anyway fails here.
export http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 2

# `cc` is the compiler of these tests, also for Meson and CMake.
# By its path, and that of a wrapper such as ccache: by name the script would
# find itself.
mkdir bin mine
command -v "$1" >/dev/null || exit 2
compiler=
for word; do
    compiler="$compiler $(command -v -- "$word" || echo "$word")"
done
printf '#!/bin/sh\nexec%s "$@"\n' "$compiler" >bin/cc
chmod +x bin/cc
PATH=$dir/bin:$PATH CC=cc
export PATH CC

# The machine has an older Weir, whose headers and libraries the compiler
# finds by default, like those in /usr/local.
old=$dir/old
sh "$here/old_weir.sh" "$old" || exit 2
export C_INCLUDE_PATH="$old/include" CPLUS_INCLUDE_PATH="$old/include" \
    LIBRARY_PATH="$old/lib" PKG_CONFIG_PATH="$old/lib/pkgconfig"

number=0 failed=0
planned() { echo "1..$1"; }

# ok NAME COMMAND...: a case that passes if the command succeeds. If it fails,
# its output is shown.
ok() {
    name=$1
    shift
    number=$((number + 1))
    if "$@" >"$dir/said" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$dir/said" | tail -n 40
        failed=1
    fi
}

skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

have() { command -v "$1" >/dev/null; }

# readme LANGUAGE TEXT: the block of the README's section that has the text.
readme() {
    awk -v fence="\`\`\`$1" -v text="$2" '
        /^## / { here = $0 == "## Vendoring" }
        !here { next }
        $0 == "```" {
            if (inside && index(block, text))
                printf "%s", block
            inside = 0
        }
        inside { block = block $0 "\n" }
        $0 == fence { inside = 1; block = "" }' "$root/README.md"
}

# run TEXT: the lines of the block that has the text.
run() {
    block=$(readme sh "$1")
    [ -n "$block" ] || { echo "the README has no block with $1"; return 1; }
    echo "$block"
    sh -ec "$block"
}

# copy TO: copy the folder, as a user who vendors it does.
copy() {
    mkdir -p "$1/subprojects" &&
        (cd "$root" && cp -R meson.build LICENSE README.md include src "$1") &&
        cp "$root"/subprojects/*.wrap "$1/subprojects"
}

# squares PROGRAM: whether it prints what the README's example prints.
squares() { [ "$("$@" | tr '\n' ' ')" = '1 4 9 16 25 ' ]; }

# A program that uses each library.
http_source() {
    cat <<'END'
#include <stdio.h>
#include <weir/http.h>
#include <weir/weir.h>

int main(void)
{
    if (weir_http_global_init() != 0)
        return 1;
    puts(weir_http_error_name(WEIR_HTTP_OK));
    weir_http_global_cleanup();
    return weir_now() < 0;
}
END
}

took() {
    echo "# from an empty folder to a program: $(($(date +%s) - began)) s"
}

# Whether there is a suitable libcurl.
have_curl() { pkg-config --exists 'libcurl >= 7.85'; }

by_meson() {
    planned 11
    began=$(date +%s)
    cd mine || exit 2
    copy "$dir/mine/subprojects/weir"
    cp "$root/src/demo/example.c" mine.c
    readme meson "dependency('weir')" >meson.build
    ok 'a parent project builds as the README says' \
        sh -ec 'meson setup build; meson compile -C build'
    ok 'the program of the parent project runs' squares build/mine
    took
    ok 'only the libraries of the subproject are built' only_libraries build

    # The same build with more options.
    if have_curl; then
        http_source >http.c
        { cat meson.build; echo "executable('http', 'http.c',
            dependencies: [weir, dependency('weir-http')])"; } >asks
        mv asks meson.build
        ok 'a parent project can depend on weir-http' \
            sh -ec 'meson compile -C build; build/http'
    else
        skip 'a parent project can depend on weir-http' 'no libcurl'
    fi
    {
        printf '%s\n' "project('mine', 'c')" "subproject('weir')"
        have_curl && echo "executable('http', 'http.c',
            dependencies: dependency('weir-http'))"
        echo "executable('mine', 'mine.c', dependencies: dependency('weir'))"
    } >meson.build
    ok 'a static parent has static libraries' sh -ec '
        meson setup static -Ddefault_library=static
        meson compile -C static
        [ -z "$(find static -name "*.so*")" ]
        static/mine'
    if have_curl; then
        ok 'weir-http can be requested alone' static/http
    else
        skip 'weir-http can be requested alone' 'no libcurl'
    fi

    # A machine without libcurl, on which Meson uses the wrap. The message that
    # it may not download shows that it does.
    cat >meson.build <<'END'
project('mine', 'c')
subproject('weir')
message('HTTP:', dependency('weir-http', required: false).found())
END
    before=${PKG_CONFIG_LIBDIR-none}
    export PKG_CONFIG_LIBDIR=/nonexistent
    ok 'without libcurl Meson builds only the core' configure bare 'HTTP: false'
    ok 'a build without libcurl downloads nothing' nothing_fetched bare
    [ "$before" != none ] || unset PKG_CONFIG_LIBDIR
    ok 'the wrap of libcurl is used if requested' \
        configure asked 'downloading is disabled' \
        --force-fallback-for=libcurl --wrap-mode=nodownload
    ok 'if the wrap cannot be downloaded, Meson builds only the core' \
        grep 'HTTP: false' asked.log

    # In place of curl's sources a project that provides the system's libcurl.
    if have_curl; then
        mkdir subprojects/curl-8.12.1
        cat >subprojects/curl-8.12.1/meson.build <<'END'
project('curl', 'c', version: '8.12.1')
meson.override_dependency('libcurl', declare_dependency(
  dependencies: meson.get_compiler('c').find_library('curl')))
END
        ok 'weir-http is built on the libcurl of the wrap' \
            configure wrapped 'HTTP: true' --force-fallback-for=libcurl
    else
        skip 'weir-http is built on the libcurl of the wrap' 'no libcurl'
    fi
}

# configure FOLDER TEXT [OPTION]...: set up a build and check that Meson prints
# the text.
configure() {
    folder=$1 text=$2
    shift 2
    meson setup "$folder" "$@" >"$folder.log" 2>&1 ||
        { cat "$folder.log"; return 1; }
    grep "$text" "$folder.log" || { cat "$folder.log"; return 1; }
}

# only_libraries BUILD: whether only the libraries of the subproject were built.
only_libraries() {
    find "$1/subprojects/weir" -type f >built
    grep -q '/libweir\.' built || return 1
    ! grep -vE '/libweir(-http)?\.|\.o$' built
}

# nothing_fetched BUILD: whether Meson reports no download and has made none.
nothing_fetched() {
    ! grep -i 'download' "$1.log" && [ "$(ls subprojects)" = weir ]
}

by_install() {
    planned 9
    began=$(date +%s)
    cd mine || exit 2
    copy "$dir/mine/weir"
    cp "$root/src/demo/example.c" mine.c
    block=$(readme sh 'meson install')
    # A machine whose file system has its root here. pkg-config learns this once
    # there is something to find.
    DESTDIR=$dir/machine
    export DESTDIR
    # ldconfig would change this machine; .ci/run calls it in another system.
    ok 'the library installs as the README says' \
        sh -ec "$(echo "$block" | grep -vxE 'cc .*|ldconfig|\./mine')"
    pc=$(dirname "$(find "$DESTDIR" -name weir.pc)")
    # Not those of the older Weir: a sysroot would be put before their paths.
    export PKG_CONFIG_SYSROOT_DIR="$DESTDIR" PKG_CONFIG_PATH="$pc"
    export LD_LIBRARY_PATH="${pc%/pkgconfig}"
    ok 'a program builds with pkg-config as the README says' \
        sh -ec "$(echo "$block" | grep '^cc ')"
    ok 'a program that was built with pkg-config runs' \
        squares "$(echo "$block" | grep '^\./')"
    took
    ok 'headers, libraries, manual and examples are in their places' \
        in_place "${pc%/pkgconfig}"
    if have_curl; then
        ok 'the program starts where the loader does not look for libraries' \
            starts "$DESTDIR/usr/local"
        ok 'the program starts below another prefix' sh -ec '
            unset DESTDIR
            meson configure build --prefix="$PWD/elsewhere"
            meson install -C build
            env -u LD_LIBRARY_PATH elsewhere/bin/weir --version'
    else
        for name in \
            'the program starts where the loader does not look for libraries' \
            'the program starts below another prefix'; do
            skip "$name" 'no libcurl'
        done
    fi
    ok 'a program that links the static library does not need the shared one' \
        static
    if have_curl; then
        http_source >http.c
        ok 'pkg-config finds weir-http' sh -ec \
            'cc http.c $(pkg-config --cflags --libs weir-http) -o http
            ./http'
    else
        skip 'pkg-config finds weir-http' 'no libcurl'
    fi
    if have cmake; then
        mkdir cmake
        cmake_lists ../mine.c pkg_check_modules >cmake/CMakeLists.txt
        ok 'CMake finds the library with the lines of the README' by_cmake cmake
    else
        skip 'CMake finds the library with the lines of the README' 'no cmake'
    fi
}

# starts PREFIX: whether the program runs without LD_LIBRARY_PATH.
starts() {
    env -u LD_LIBRARY_PATH "$1/bin/weir" --version | grep '^weir [0-9]'
}

# cmake_lists SOURCE TEXT: a CMakeLists.txt for a program of one source, with
# the README's lines that contain the text.
cmake_lists() {
    printf '%s\n' 'cmake_minimum_required(VERSION 3.13)' \
        'project(mine C)' "add_executable(mine $1)"
    readme cmake "$2"
}

# by_cmake FOLDER: build the CMakeLists.txt in the folder, and run the program.
by_cmake() {
    cmake -S "$1" -B cmake/build && cmake --build cmake/build &&
        squares cmake/build/mine
}

# in_place LIBDIR: whether every installed file is in its place.
in_place() (
    cd "$DESTDIR" || exit 1
    places=0
    there() {
        for file in "$@"; do
            [ -e "$file" ] || { echo "no $file"; places=1; }
        done
    }
    for header in "$root"/include/weir/*.h; do
        case $header in
        */http.h) have_curl || continue ;;
        esac
        there usr/local/include/weir/"${header##*/}"
    done
    # Without libcurl there is no program, and section 1 is about the program.
    for page in "$root"/src/man/weir*.[0-9]; do
        case $page in
        *.1) have_curl || continue ;;
        esac
        there "usr/local/share/man/man${page##*.}/${page##*/}"
    done
    for file in "$root"/src/demo/examples/*.[ch]; do
        case $file in
        */client.c) have_curl || continue ;;
        esac
        there "usr/local/share/doc/weir/examples/${file##*/}"
    done
    there "$1"/libweir.a "$1"/libweir.so "$1"/pkgconfig/weir.pc
    if have_curl; then
        there "$1"/libweir-http.a "$1"/libweir-http.so \
            "$1"/pkgconfig/weir-http.pc usr/local/bin/weir \
            usr/local/share/bash-completion/completions/weir
    fi
    # The name that a program links has a number and leads to the library.
    if have readelf; then
        name=$(readelf -d "$1/libweir.so" |
            sed -n 's/.*soname: \[\(.*\)\]/\1/p')
        case $name in
        libweir.so.[0-9]*) there "$1/$name" ;;
        *) echo "its soname is $name" && places=1 ;;
        esac
    fi
    exit "$places"
)

static() {
    # Not every machine has the system's own libraries as static ones.
    echo 'int main(void) { return 0; }' >trivial.c
    all=-static
    cc -static trivial.c -o trivial || all='-Wl,-Bstatic'
    dynamic=
    [ "$all" = -static ] || dynamic='-Wl,-Bdynamic'
    # shellcheck disable=SC2046 # a word each
    cc mine.c $all $(pkg-config --static --cflags --libs weir) $dynamic \
        -o alone && LD_LIBRARY_PATH='' squares ./alone
}

by_two_files() {
    planned 10
    began=$(date +%s)
    cd mine || exit 2
    copy "$dir/mine/weir"
    sed 's,<weir/weir.h>,"weir.h",' "$root/src/demo/example.c" >mine.c
    ok 'two files are written and built as the README says' \
        run two_files.sh
    ok 'the program that contains the two files runs' squares ./mine
    took
    ok 'no compiler warns about the two files' no_warning
    ok 'both files hold the licence and the version' licence
    ok 'every awk writes the same two files' any_awk
    ok 'an older C is rejected by a message that names C11' old_c
    ok 'the two files can be included in another file' one_file
    if cc32; then
        ok 'a 32-bit program appends to a file of 3 GiB' big_file
    else
        skip 'a 32-bit program appends to a file of 3 GiB' \
            'no compiler for 32 bits, or no way to run its programs'
    fi
    sed 's,<weir/weir.h>,"weir.h",' "$root/src/demo/example.cpp" >cpp.cpp
    if have c++; then
        ok 'a program in C++ builds with the two files and runs' sh -ec \
            'c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -pthread \
                cpp.cpp weir.o -o cpp
            [ "$(./cpp | tail -n 1)" = loop ]'
    else
        skip 'a program in C++ builds with the two files and runs' 'no C++'
    fi
    if have cmake; then
        cmake_lists mine.c add_library >CMakeLists.txt
        ok 'CMake builds the two files with the lines of the README' by_cmake .
    else
        skip 'CMake builds the two files with the lines of the README' \
            'no cmake'
    fi
}

# Whether gcc and clang, as far as installed, print nothing.
no_warning() {
    for compiler in cc gcc clang; do
        have "$compiler" || continue
        $compiler -std=c11 -Wall -Wextra -Wpedantic -Wconversion -O2 \
            -pthread -c weir.c -o warned.o >warnings 2>&1 || echo failed \
            >>warnings
        [ ! -s warnings ] || { echo "$compiler:"; cat warnings; return 1; }
    done
}

old_c() {
    ! cc -std=c99 -pthread -c weir.c -o old.o 2>errors || return 1
    cat errors
    grep -q 'Weir needs C11' errors
}

# With no name visible outside, and with macros that applications define.
one_file() {
    printf '%s\n' '#define WEIR_API static' '#include "weir.c"' \
        '#define main its_main' '#include "mine.c"' '#undef main' \
        'int main(void) { return its_main(); }' >one.c
    cc -std=gnu11 -O2 -pthread one.c -o one && squares ./one &&
        cc -std=gnu11 -Dlocal=static -pthread -c mine.c -o hosts.o
    ! have nm || [ -z "$(nm -g --defined-only one | grep ' weir_pool_create')" ]
}

# Find a compiler for 32-bit programs: $cc32.
cc32() {
    echo 'int main(void) { return 0; }' >try.c
    for cc32 in 'cc -m32' 'i686-linux-gnu-gcc -static'; do
        $cc32 -pthread try.c -o try 2>/dev/null && ./try && return 0
    done
    return 1
}

big_file() {
    cat >big.c <<'END'
#include "weir.h"
int main(void)
{
    struct weir_writer *w;
    int err = weir_writer_open(&w, &(struct weir_writer_options){
        .path = "big", .recover = WEIR_RECOVER_LINES });

    if (err == 0)
        err = weir_writer_write(w, &(struct iovec){ (char[]){ "x\n" }, 2 }, 1,
                                WEIR_FOREVER);
    if (err == 0)
        err = weir_writer_close(w, WEIR_FOREVER);
    weir_writer_destroy(w);
    return err != 0;
}
END
    truncate -s 3G big && echo >>big && $cc32 -pthread big.c weir.c \
        -o big32 && ./big32 && [ "$(wc -c <big)" = 3221225475 ]
    done=$?
    rm -f big
    return $done
}

licence() {
    version=$(sed -n 's/^#define WEIR_VERSION "\(.*\)"/\1/p' weir.h)
    [ -n "$version" ] || return 1
    for file in weir.h weir.c; do
        grep -q "Weir $version" "$file" || return 1
        [ "$(sed -n "5,$(($(wc -l <"$root/LICENSE") + 4))p" "$file")" = \
            "$(cat "$root/LICENSE")" ] || return 1
    done
}

any_awk() {
    mkdir other
    for awk in mawk gawk 'busybox awk' original-awk; do
        have "${awk%% *}" || continue
        printf '#!/bin/sh\nexec %s "$@"\n' "$awk" >"$dir/bin/awk"
        chmod +x "$dir/bin/awk"
        sh weir/src/two_files.sh other && cmp weir.h other/weir.h &&
            cmp weir.c other/weir.c || { echo "$awk"; return 1; }
    done
    rm "$dir/bin/awk"
}

case $way in
meson | installed)
    have meson && have pkg-config ||
        { echo '1..0 # SKIP no meson or no pkg-config'; exit 0; } ;;
esac
case $way in
meson) by_meson ;;
installed) by_install ;;
two-files) by_two_files ;;
*) echo "Bail out! no such way: $way"; exit 2 ;;
esac
exit $failed
