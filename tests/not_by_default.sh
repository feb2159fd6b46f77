#!/bin/sh
# SPDX-License-Identifier: MIT
# not_by_default.sh - remove the tests from `all`, after Meson has written
# build.ninja. Meson before 1.7 puts everything that a test needs into `all`,
# whatever build_by_default says, so that `ninja` and `meson install` would
# build the tests. `meson test` builds what it runs, as does `ninja test`.
set -e
cd "$MESON_BUILD_ROOT"
sed 's/^build all: phony meson-test-prereq meson-benchmark-prereq/build all: phony/
s/^build meson-internal__test: CUSTOM_COMMAND all/& meson-test-prereq/' \
    build.ninja >build.ninja.new
mv build.ninja.new build.ninja
