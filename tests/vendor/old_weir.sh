#!/bin/sh
# SPDX-License-Identifier: MIT
# old_weir.sh PREFIX - install a stand-in for an older Weir below PREFIX that
# cannot be used: its headers end the compilation, and its libraries are not
# libraries. A build that succeeds has used its own copy.
set -e
mkdir -p "$1/include/weir" "$1/lib/pkgconfig" "$1/bin"
for header in "$(dirname "$0")"/../../include/weir/*.h; do
    echo '#error "a header of the installed Weir"' \
        >"$1/include/weir/${header##*/}"
done
cp "$1/include/weir/weir.h" "$1/include/weir.h"
for name in weir weir-http; do
    echo "the installed Weir" >"$1/lib/lib$name.a"
    for suffix in so so.0 so.0.0.1; do
        cp "$1/lib/lib$name.a" "$1/lib/lib$name.$suffix"
    done
    cat >"$1/lib/pkgconfig/$name.pc" <<END
prefix=$1
Name: $name
Description: an older Weir
Version: 0.0.1
Libs: -L\${prefix}/lib -l$name
Cflags: -I\${prefix}/include
END
done
printf '#!/bin/sh\necho "the installed Weir"\nexit 9\n' >"$1/bin/weir"
chmod +x "$1/bin/weir"
