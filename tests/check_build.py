#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_build.py BUILD README - what the build folder BUILD builds, and when.

`ninja` without a target, and so `meson install`, must build only what is
installed. `meson test` must build whatever a test runs. The tests that the
README names beside its promises must exist. Prints TAP."""
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


print('1..3')
target_of = {os.path.relpath(file, build): target
             for target in info('targets') for file in target['filename']}

with open(os.path.join(build, 'build.ninja')) as f:
    everything = re.search(r'^build all: phony ?(.*)', f.read(), re.M)
made = everything.group(1).split()
report(1, 'a build without a target builds only what is installed',
       [file for file in made
        if file not in target_of or not target_of[file]['installed']] or
       ([] if made else ['it builds nothing']))

report(2, 'each test depends on every file of the build that it is given',
       [f'{test["name"]}: {word}' for test in info('tests')
        for word in test['cmd']
        for target in [target_of.get(os.path.relpath(
            os.path.join(build, word), build))]
        if target and target['id'] not in test['depends']])

# A build without libcurl, or with a sanitizer, does not have all tests.
names = {test['name'] for test in info('tests')}
title = 'every promise of the README names tests that exist'
if names >= {'cli run', 'sim', 'library'}:
    with open(sys.argv[2], encoding='utf-8') as f:
        section = f.read().split('\n## What it promises\n')[1].split('\n## ')[0]
    promises = [line.rsplit('|', 2) for line in section.splitlines()
                if line.startswith('| ')][1:]
    report(3, title,
           [name for *_, tests, _ in promises
            for name in re.findall('`([^`]+)`', tests) if name not in names] +
           [promise for promise, tests, _ in promises if '`' not in tests] +
           ([] if promises else ['there is no promise']))
else:
    print('ok 3 -', title, '# SKIP not all tests are in this build')
sys.exit(failed)
