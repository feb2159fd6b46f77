#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
r"""check_returns.py - every return value that a public header documents
is returned in a test.

  check_returns.py ROOT             check that the tags in the tests and the
                                    headers agree; prints TAP
  check_returns.py ROOT --list      list what the headers document
  check_returns.py ROOT --tags      list the tags, with the cases that
                                    reach them
  check_returns.py ROOT --wrap      print C functions that wrap the public
                                    ones and print what they returned; the
                                    linker's options for them go to standard
                                    error
  check_returns.py ROOT --seen LOG  check Meson's testlog.txt of tests that
                                    were linked with these; prints TAP

A tag is a comment in a test, at the call that returns the value, or at the
head of the function if there is no single call:

  /* returns: FUNCTION VALUE */
  /* aborts: FUNCTION */

VALUE is what follows "Returns" in the comment of FUNCTION:
  0, -EXXX    the value itself; two reasons need two tests
  count       a number above 0: "how many", "length", "1 after"
  NULL        for a function that returns a pointer
  -EXXX of call()
              "an error of call()", and the one that the test causes
  -EXXX passed on
              "what fn returned", "the sticky error", likewise; any number
"as weir_x()" includes all errors that weir_x() documents. "Aborts when" needs
a tag of the second form. A function that documents none of these needs no
tag, but a case that names it.
"""
import collections
import errno
import glob
import os
import re
import sys
import tempfile

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


class Tag:
    """A tag, and the cases of its file that reach the function around it."""

    def __init__(self, path, line, text):
        self.path, self.line, self.text = path, line, text
        self.api = self.kind = self.made = None
        self.inside, self.cases = None, []
        m = re.fullmatch(r'aborts: (\w+)', text)
        if m:
            self.api, self.kind, self.made = m.group(1), 'abort', 'abort'
        m = re.fullmatch(r'returns: (\w+) (0|-?\w+)( passed on| of \w+\(\))?',
                         text)
        if m:
            self.api, self.made, of = m.groups()
            self.kind = self.made
            if of:
                self.kind = 'own' if of == ' passed on' else of[4:]

    def __str__(self):
        return '%s:%d: "%s"' % (self.path, self.line, self.text)


def without_comments(text):
    return re.sub(COMMENT, ' ', text)


class Source:
    """The functions of a test, what each names, and that of each case."""

    def __init__(self, text, headers):
        self.bodies, self.cases, self.places = {}, {}, []
        # The test comes last: it may redefine the name of a header's helper.
        for part in headers + [text]:
            self.read(part, part is text)

    def read(self, text, mine):
        # A function begins and its body ends in the first column.
        for m in re.finditer(r'^(\w[^;={}]*?\b(\w+)\([^;{}]*\))\n\{(.*?)^\}',
                             text, re.M | re.S):
            self.bodies[m.group(2)] = without_comments(m.group(3))
            if mine:
                self.places.append((m.start(3), m.end(3), m.group(2)))
        for m in re.finditer(r'^(?:\}|static) [^;={}()]*?\b(\w+)\[\w*\] = '
                             r'\{(.*?)^\};',
                             text, re.M | re.S):
            self.bodies[m.group(1)] = m.group(2)  # a table of a case
        for m in re.finditer(r'\{\s*((?:"(?:[^"\\]|\\.)*"\s*)+),\s*(\w+)\s*\}',
                             text):
            name = ''.join(re.findall(r'"((?:[^"\\]|\\.)*)"', m.group(1)))
            self.cases[name] = m.group(2)

    def function_at(self, position):
        for begin, end, name in self.places:
            if begin <= position < end:
                return name
        return None

    def reached(self, function):
        """The names of a function and of every function that it names."""
        seen, rest = set(), [function]
        while rest:
            name = rest.pop()
            if name in seen or name not in self.bodies:
                continue
            seen.add(name)
            rest += re.findall(r'\b\w+\b', self.bodies[name])
        return seen

    def text(self, functions):
        return ' '.join(self.bodies[name] for name in sorted(functions))


class Tests:
    """All tags in the sources of the tests."""

    def __init__(self, root):
        self.tags, self.sources, self.named = [], {}, set()
        headers = []
        for path in sorted(glob.glob(root + '/tests/*.h')):
            with open(path) as f:
                headers.append(f.read())
        for path in sorted(glob.glob(root + '/tests/**/*.[ch]',
                                     recursive=True)):
            with open(path) as f:
                self.read(os.path.relpath(path, root), f.read(), headers)

    def read(self, path, text, headers):
        source, by_function = None, {}
        if re.search(r'(^|/)test_\w+\.c$', path):
            source = self.sources[path] = Source(text, headers)
            for name, function in source.cases.items():
                reached = source.reached(function)
                self.named |= set(re.findall(r'\bweir_\w+',
                                             source.text(reached)))
                for f in reached:
                    by_function.setdefault(f, []).append(name)
        for m in re.finditer(r'/\*\s*((?:returns|aborts):.*?)\s*\*/', text,
                             re.S):
            tag = Tag(path, text.count('\n', 0, m.start()) + 1, m.group(1))
            self.tags.append(tag)
            if source:
                tag.inside = source.function_at(m.start())
                tag.cases = by_function.get(tag.inside, [])

    def unnamed(self, tag):
        """What a tag is about and the code from its function on does not
        name."""
        source = self.sources[tag.path]
        text = source.text(source.reached(tag.inside))
        names = [tag.api]
        if tag.made not in ('0', 'count', 'abort'):
            names.append(tag.made.lstrip('-'))
        return [name for name in names
                if not re.search(r'\b%s\b' % name, text)]


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


def findings(every, tests):
    """What is wrong with the tags, by the sentence that it contradicts."""
    wanted = {(f.name, value): n for f in every.values()
              for value, n in documented(f, every).items()}
    there = collections.defaultdict(set)
    for tag in tests.tags:
        if tag.cases:
            there[tag.api, tag.kind].add((tag.path, tag.inside))
    twice = collections.Counter(
        (tag.path, tag.inside, tag.text) for tag in tests.tags)
    return {
        'every documented return value has its tags': [
            '%s: %s has %d of %d' % (*pair, len(there[pair]), n)
            for pair, n in wanted.items()
            if pair[1] != 'called' and len(there[pair]) < n],
        'every function without a documented return value has a test': [
            '%s is named in no case' % name for name, value in wanted
            if value == 'called' and name not in tests.named],
        'every tag is about a documented return value': [
            '%s: the form is wrong' % tag
            for tag in tests.tags if tag.api is None] + [
            '%s: %s documents no %s' % (tag, tag.api, tag.kind)
            for tag in tests.tags
            if tag.api and (tag.api, tag.kind) not in wanted],
        'every tag stands in the code of a case, once': [
            '%s: no case reaches it' % tag
            for tag in tests.tags if not tag.cases] + [
            '%s: "%s" is twice in %s' % (path, text, inside)
            for (path, inside, text), n in twice.items() if n > 1],
        'the code at every tag names the function and the value': [
            '%s: %s is not named' % (tag, name)
            for tag in tests.tags if tag.api and tag.cases
            for name in tests.unnamed(tag)],
    }


# Of a check that finds nothing: one mistake of each kind in a small project.
HEADER = '''
/* Put. Returns 0, or -EAGAIN. */
WEIR_API int weir_put(void);
/* Put without waiting. */
WEIR_API void weir_drop(void);
'''
TEST = '''
static int put(void)
{
    return weir_put();
}

static void puts_both(void)
{
    /* returns: weir_put 0 */
    EXPECT_INT(put(), 0);
    /* returns: weir_put -EAGAIN */
    EXPECT_INT(put(), -EAGAIN);
    weir_drop();
}

static void unused(void)
{
}

static const struct tap_case cases[] = {
    { "puts", puts_both },
};
'''
MISTAKES = [
    ('    /* returns: weir_put -EAGAIN */\n', '',
     'every documented return value has its tags'),
    ('    weir_drop();\n', '',
     'every function without a documented return value has a test'),
    ('weir_put 0 */', 'weir_put 0 */ /* returns: weir_put -EPIPE */',
     'every tag is about a documented return value'),
    ('weir_put 0 */', 'weir_put 0 */ /* returns: weir_take 0 */',
     'every tag is about a documented return value'),
    ('weir_put 0 */', 'weir_put 0 */ /* returns: 0 */',
     'every tag is about a documented return value'),
    ('unused(void)\n{\n', 'unused(void)\n{\n/* returns: weir_put 0 */\n',
     'every tag stands in the code of a case, once'),
    ('static const', '/* returns: weir_put 0 */\nstatic const',
     'every tag stands in the code of a case, once'),
    ('weir_put 0 */', 'weir_put 0 */ /* returns: weir_put 0 */',
     'every tag stands in the code of a case, once'),
    ('put(), -EAGAIN', 'put(), 1',
     'the code at every tag names the function and the value'),
]


def found_in(header, test):
    """The sentences that a project of these two files contradicts."""
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(root + '/include/weir')
        os.makedirs(root + '/tests')
        for name, text in (('include/weir/put.h', header),
                           ('tests/test_put.c', test)):
            with open(os.path.join(root, name), 'w') as f:
                f.write(text)
        return [sentence for sentence, wrong in findings(
            functions(root), Tests(root)).items() if wrong]


def undetected():
    wrong = ['found without a mistake: ' + sentence
             for sentence in found_in(HEADER, TEST)]
    for old, new, sentence in MISTAKES:
        if TEST.count(old) != 1:
            wrong.append('the test has no single "%s"' % old)
        elif sentence not in found_in(HEADER, TEST.replace(old, new)):
            wrong.append('"%s" instead of "%s" is not found' % (new, old))
    return wrong


def check(root):
    found = findings(functions(root), Tests(root))
    tap = Tap(len(found) + 1)
    for sentence, wrong in found.items():
        tap.report(sentence, wrong)
    tap.report('each kind of mistake in the tags is found', undetected())
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
    tests = Tests(root)
    every = functions(root)
    tap = Tap(3)
    seen = collections.defaultdict(set)
    for (test, case), said in found.items():
        seen[test.replace(' ', '_'), case] |= said
    tap.report('every return value that has a tag was returned there', [
        '%s: not in: %s' % (tag, ', '.join('"%s"' % c for c in tag.cases))
        for tag in tests.tags
        if not any((tag.api, number(tag.made)) in seen[
            re.search(r'test_(\w+)\.c$', tag.path).group(1), case]
            for case in tag.cases)])
    everything = set().union(*found.values())
    tap.report('every function without a documented return value was called', [
        name for name, f in every.items()
        if 'called' in documented(f, every) and
        (name, 'called') not in everything])

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
    if what == '--tags':
        for tag in Tests(root).tags:
            print(tag, *('\n    ' + case for case in tag.cases))
        return 0
    if what == '--wrap':
        return wrap(root)
    if what == '--seen':
        return judge(root, sys.argv[3])
    return check(root)


if __name__ == '__main__':
    sys.exit(main())
