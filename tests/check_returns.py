#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
r"""check_returns.py - every return value that a public header documents
is returned in a test.

  check_returns.py ROOT             check that the map and the sources agree;
                                    prints TAP
  check_returns.py ROOT --list      list what the headers document
  check_returns.py ROOT --wrap      print C functions that wrap the public
                                    ones and print what they returned; the
                                    linker's options for them go to standard
                                    error
  check_returns.py ROOT --seen LOG  check Meson's testlog.txt of tests that
                                    were linked with these; prints TAP

tests/returns.txt has a line for each value:

  FUNCTION VALUE TEST: "CASE"

VALUE is what follows "Returns" in the function's comment:
  0, -EXXX    the value itself; two reasons need two cases
  count       a number above 0: "how many", "length", "1 after"
  NULL        for a function that returns a pointer
  call()=-EXXX  "an error of call()", and the one that the case causes
  own=-EXXX   "what fn returned", "the sticky error", likewise
  abort       "Aborts when"
  called      for a function that documents none of these
"as weir_x()" includes all errors that weir_x() documents.
"""
import collections
import errno
import glob
import os
import re
import sys

COMMENT = r'/\*((?:[^*]|\*(?!/))*)\*/\s*'
FUNCTION = re.compile(COMMENT + r'((?:WEIR_API[^;]*;\s*)+)')
DECLARATION = re.compile(
    r'WEIR_API\s+((?:const\s+)?(?:struct\s+)?\w+)\s*(\**)\s*(\w+)\((.*)\);$',
    re.S)
ERROR = re.compile(r'-E[A-Z]+')


class Function:
    def __init__(self, comment, declaration):
        m = DECLARATION.match(declaration.strip())
        self.type = (m.group(1) + ' ' + m.group(2)).strip()
        self.name = m.group(3)
        self.parameters = ' '.join(m.group(4).split())
        self.comment = re.sub(r'\s*\n \*\s?', ' ', comment).strip()


def functions(root):
    """All public functions by name, in the headers' order."""
    found = {}
    for path in sorted(glob.glob(root + '/include/weir/*.h')):
        with open(path) as f:
            text = f.read()
        for m in FUNCTION.finditer(text):
            for line in re.findall(r'WEIR_API[^;]*;', m.group(2)):
                f = Function(m.group(1), line)
                found[f.name] = f
        if len(re.findall(r'^WEIR_API', text, re.M)) != len(re.findall(
                r'WEIR_API[^;]*;', ''.join(
                    m.group(2) for m in FUNCTION.finditer(text)))):
            sys.exit(path + ': a function has no comment')
    return found


def documented(f, every):
    """The values of a function, each with the number of its reasons."""
    values = collections.Counter()
    told = re.search(r'\bReturns\b(.*)', f.comment)
    if told and f.type != 'void':
        text = told.group(1)
        values.update(ERROR.findall(text))
        if re.search(r'(?<![\w,.-])0(?![\w.])', text):
            values['0'] = 1
        if re.search(r'\bhow many\b|\blength\b|\b1 after\b', text):
            values['count'] = 1
        for of in re.findall(r'\berrors? of ([^;:]*)', text):
            values.update(set(re.findall(r'\b[a-z_]+\(\)', of)))
        for phrase in ('what [^;:]*returned', 'the sticky error',
                       'status that was not 0'):
            values['own'] += len(re.findall(phrase, text))
        for other in re.findall(r'\bas (weir_\w+)\(\)', text):
            if ERROR.search(text.split('as ' + other)[0].split(';')[-1]):
                continue  # "-ENOMEM as weir_x()" says which
            for value, n in documented(every[other], every).items():
                if value.startswith('-') or value.endswith('()'):
                    values[value] += n
    if '*' in f.type and re.search(r'\bNULL(:| where\b| if\b)', f.comment):
        values['NULL'] = 1
    if re.search(r'\bAborts when\b', f.comment):
        values['abort'] = 1
    values = +values
    return values or collections.Counter(called=1)


class Case:
    def __init__(self, line, function, value, test, name):
        self.line, self.function, self.value = line, function, value
        self.test, self.name = test, name
        self.kind, _, self.made = value.partition('=')
        self.made = self.made or value


def read_map(root):
    cases = []
    with open(root + '/tests/returns.txt') as f:
        for number, line in enumerate(f, 1):
            if line.startswith('#') or not line.strip():
                continue
            m = re.match(r'(\w+) +(\S+) +([\w ]+): "(.*)"$', line.strip())
            if not m:
                sys.exit('tests/returns.txt:%d: no line of the map' % number)
            cases.append(Case(number, *m.groups()))
    return cases


class Source:
    """The functions of a test, and the function of each case."""

    def __init__(self, root, test):
        name = 'test_' + test.replace(' ', '_') + '.c'
        self.bodies, self.cases = {}, {}
        # The test comes last: it may redefine the name of a header's helper.
        for path in glob.glob(root + '/tests/*.h') + glob.glob(
                root + '/tests/' + name) + glob.glob(
                    root + '/tests/*/' + name):
            with open(path) as f:
                self.read(f.read())

    def read(self, text):
        # A function begins and its body ends in the first column.
        for m in re.finditer(r'^(\w[^;={}]*?\b(\w+)\([^;{}]*\))\n\{(.*?)^\}',
                             text, re.M | re.S):
            self.bodies[m.group(2)] = re.sub(COMMENT, ' ', m.group(3))
        for m in re.finditer(r'^(?:\}|static) [^;={}()]*?\b(\w+)\[\w*\] = '
                             r'\{(.*?)^\};',
                             text, re.M | re.S):
            self.bodies[m.group(1)] = m.group(2)  # a table of a case
        for m in re.finditer(r'\{\s*((?:"(?:[^"\\]|\\.)*"\s*)+),\s*(\w+)\s*\}',
                             text):
            name = ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', m.group(1)))
            self.cases[name] = m.group(2)

    def reached(self, function):
        """The text of a function and of every function it names."""
        seen, rest = set(), [function]
        while rest:
            name = rest.pop()
            if name in seen or name not in self.bodies:
                continue
            seen.add(name)
            rest += re.findall(r'\b\w+\b', self.bodies[name])
        return ' '.join(self.bodies[name] for name in sorted(seen))


class Tap:
    def __init__(self, plan):
        print('1..%d' % plan)
        self.count = self.failed = 0

    def report(self, name, findings):
        self.count += 1
        self.failed += bool(findings)
        print('%sok %d - %s' % ('not ' if findings else '', self.count, name))
        for finding in findings:
            print('# ' + finding)


def check(root):
    every = functions(root)
    cases = read_map(root)
    tap = Tap(3)

    wanted = {(f.name, value): n for f in every.values()
              for value, n in documented(f, every).items()}
    there = collections.Counter((c.function, c.kind) for c in cases)
    tap.report('every documented return value has its cases', [
        '%s: %s has %d of %d' % (*pair, there[pair], n)
        for pair, n in wanted.items() if there[pair] < n])
    twice = collections.Counter(
        (c.function, c.value, c.test, c.name) for c in cases)
    tap.report('every line is about a documented return value, once', [
        'line %d: %s documents no %s' % (c.line, c.function, c.kind)
        for c in cases if (c.function, c.kind) not in wanted] + [
        'twice: %s %s %s: "%s"' % key for key, n in twice.items() if n > 1])

    sources, findings = {}, []
    for c in cases:
        source = sources.setdefault(c.test, Source(root, c.test))
        if c.name not in source.cases:
            findings.append('line %d: test "%s" has no case "%s"' % (
                c.line, c.test, c.name))
            continue
        text = source.reached(source.cases[c.name])
        names = [c.function]
        if c.made not in ('0', 'count', 'called', 'abort'):
            names.append(c.made.lstrip('-'))
        findings += ['line %d: case "%s" does not name %s' % (
            c.line, c.name, name) for name in names
            if not re.search(r'\b%s\b' % name, text)]
    tap.report('every case is there, and names the function and the value',
               findings)
    return tap.failed != 0


PRELUDE = r'''#include <weir/weir.h>
#if __has_include(<curl/curl.h>)
#include <weir/http.h>
#endif
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_char said[200][512];
static _Thread_local const char *inside;

static const char *enter(const char *name)
{
    const char *outer = inside;

    inside = name;
    return outer;
}

static void leave(int function, const char *outer, intmax_t value)
{
    int at = value < -200 || value > 300 ? 511 : (int)value + 201;

    if (atomic_exchange(&said[function][0], 1) == 0)
        printf("# returned %s called\n", inside);
    if (atomic_exchange(&said[function][at], 1) == 0)
        printf("# returned %s %jd\n", inside, value);
    inside = outer;
}

void say_aborted(void);
void say_aborted(void)
{
    if (inside != NULL)
        printf("# returned %s abort\n", inside);
    fflush(stdout);
}

int __wrap_printf(const char *format, ...);
int __wrap_printf(const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vprintf(format, args);
    va_end(args);
    if (strncmp(format, "%sok %zu", 8) == 0)
        memset(said, 0, sizeof(said));
    return n;
}
'''


def wrap(root):
    """Print functions for the linker's --wrap. Each value is printed once per
    case; the printf() of tap.h shows when a case ends."""
    every = functions(root)
    print(PRELUDE)
    for index, f in enumerate(every.values()):
        names = re.findall(r'(\w+)(?:\)\([^)]*\))?(?:,|$)', re.sub(
            r'\(\*(\w+)\)\([^)]*\)', r'\1', f.parameters))
        names = [] if f.parameters == 'void' else names
        call = '__real_%s(%s)' % (f.name, ', '.join(names))
        print('%s __real_%s(%s);' % (f.type, f.name, f.parameters))
        print('%s __wrap_%s(%s);' % (f.type, f.name, f.parameters))
        print('%s __wrap_%s(%s)\n{' % (f.type, f.name, f.parameters))
        print('    const char *outer = enter("%s");' % f.name)
        if f.type == 'void':
            print('    %s;\n    leave(%d, outer, 301);' % (call, index))
        else:
            print('    %s of_it = %s;' % (f.type, call))
            print('    leave(%d, outer, (intptr_t)of_it);\n'
                  '    return of_it;' % index)
        print('}')
        print('-Wl,--wrap=' + f.name, file=sys.stderr)
    print('-Wl,--wrap=printf', file=sys.stderr)
    return 0


def seen_in(log):
    """(test, case) -> the values printed before its line."""
    found = collections.defaultdict(set)
    test, said = None, set()
    with open(log, errors='replace') as f:
        for line in f:
            m = re.match(r'test: +(?:[\w-]+:)?(?:\w+ / )?(.*)', line)
            if m:
                test, said = m.group(1).strip(), set()
            m = re.match(r'# returned (\w+) (\S+)', line)
            if m:
                said.add(m.groups())
                if m.group(2).isdigit() and m.group(2) != '0':
                    said.add((m.group(1), 'count'))
            m = re.match(r'(?:not )?ok \d+ - (.*?)(?: # SKIP.*)?$', line)
            if m:
                found[test, m.group(1)] |= said
                said = set()
    return found


def judge(root, log):
    def number(value):
        if value == 'NULL':
            return '0'
        return str(-getattr(errno, value[1:])) if ERROR.fullmatch(
            value) else value

    found = seen_in(log)
    cases = read_map(root)
    every = functions(root)
    tap = Tap(2)
    tap.report('every return value of the map was seen to be returned', [
        'line %d: %s did not return %s in %s: "%s"' % (
            c.line, c.function, c.made, c.test, c.name)
        for c in cases
        if (c.function, number(c.made)) not in found[c.test, c.name]])

    # Except functions that pass on errors of others, which may be any.
    others = {}
    for name, f in every.items():
        values = documented(f, every)
        if 'called' not in values and not any(
                v == 'own' or v.endswith('()') for v in values):
            others[name] = {number(v) for v in values}
    tap.report('no error was returned that is not documented', sorted({
        '%s returned %s in %s: "%s"' % (name, value, *case)
        for case, said in found.items() for name, value in said
        if name in others and value.startswith('-') and
        value not in others[name]}))
    return tap.failed != 0


def main():
    root = os.path.abspath(sys.argv[1])
    what = sys.argv[2] if len(sys.argv) > 2 else ''
    if what == '--list':
        every = functions(root)
        for f in every.values():
            for value, n in documented(f, every).items():
                print(f.name, value, n)
        return 0
    if what == '--wrap':
        return wrap(root)
    if what == '--seen':
        return judge(root, sys.argv[3])
    return check(root)


if __name__ == '__main__':
    sys.exit(main())
