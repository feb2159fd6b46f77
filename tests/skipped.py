#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""skipped.py [--tests] BUILD - what the last `meson test` in BUILD skipped.

Prints a line for each test and reason, with the cases if not the whole test
was skipped. Exit status 1 if there is a skip without a reason. With --tests
only the names of the tests are printed."""
import json
import os
import re
import sys

build = sys.argv[-1]
skips = {}  # by test and reason: the cases
with open(os.path.join(build, 'meson-logs', 'testlog.json')) as f:
    results = [json.loads(line) for line in f]
for result in results:
    # "weir:suite / test", or "suite - weir:test" in newer versions of Meson.
    test = re.sub(r'^.* / |^(.* - )?[^:]*:', '', result['name'])
    output = result.get('stdout') or ''
    found = re.findall(r'^(?:ok \d+ (?:- )?(.*?)|1\.\.0) *# SKIP *(.*)$',
                       output, re.M | re.I)
    if result['result'] == 'SKIP' and not found:
        # Exit status 77: the last line it printed is the reason.
        found = [('', (output.strip().splitlines() or [''])[-1])]
    for case, reason in found:
        skips.setdefault((test, reason), []).append(case)

if '--tests' in sys.argv:
    print(*dict.fromkeys(test for test, _ in skips), sep='\n')
    sys.exit()
for (test, reason), cases in skips.items():
    cases = '; '.join(filter(None, cases))
    print(f'{test}: {reason or "NO REASON"}{cases and f" ({cases})"}')
sys.exit(any(not reason for _, reason in skips))
