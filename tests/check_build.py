#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_build.py BUILD - what the build folder BUILD makes, and when.

`ninja` without a target, and so `meson install`, must build only what is
installed. `meson test` must build whatever a test runs. Prints TAP."""
import json
import os
import re
import sys

build = os.path.abspath(sys.argv[1])
failed = 0


def report(number, name, findings):
    global failed
    print(f'{"not " if findings else ""}ok {number} - {name}')
    for finding in findings:
        print('#', finding)
        failed = 1


def info(name):
    with open(os.path.join(build, 'meson-info', f'intro-{name}.json')) as f:
        return json.load(f)


print('1..2')
target_of = {os.path.relpath(file, build): target
             for target in info('targets') for file in target['filename']}

with open(os.path.join(build, 'build.ninja')) as f:
    everything = re.search(r'^build all: phony ?(.*)', f.read(), re.M)
made = everything.group(1).split()
report(1, 'a build without a target makes only what is installed',
       [file for file in made
        if file not in target_of or not target_of[file]['installed']] or
       ([] if made else ['it makes nothing']))

report(2, 'each test depends on every file of the build that it is given',
       [f'{test["name"]}: {word}' for test in info('tests')
        for word in test['cmd']
        for target in [target_of.get(os.path.relpath(
            os.path.join(build, word), build))]
        if target and target['id'] not in test['depends']])
sys.exit(failed)
