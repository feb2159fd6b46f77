#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Change the core in one small place at a time, and see whether a test fails.

  judge.py [--seed N] [--count N]   judge N mutants, drawn by the seed
  judge.py --one ID                 judge this one, and print what killed it
  judge.py --list                   list all mutants, without building anything
  judge.py --survivors              judge only those that survivors.txt argues
Also: --match TEXT (only names with this text), --jobs N, --work DIR (keep
the builds for the next time); and to judge in portions, --seconds N (begin
no more after that time) and --from N (skip the first N of those drawn).

A mutant is killed by the first of these that fails, crashes or hangs: unit
tests of its module, scenarios of the simulator, the fault sweep, all other
unit tests, stress. One that does not compile, or compiles to the same object,
is not a mutant. `weaker` and `early` mutants also run with ThreadSanitizer, on
real threads: only it can catch most of the `weaker` ones, as the simulator's
schedules are sequentially consistent and some processors order most accesses
anyway. It detects data that is no longer published, but not a wake-up that is
lost because a total order is missing: src/base/event_count.h argues that.

Every survivor must be argued in survivors.txt: exit status 1 if one is not.
"""
import argparse
import concurrent.futures
import glob
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from mutants import mutants_of  # noqa: E402, it is in this folder

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CC = os.environ.get('CC', 'cc')
FLAGS = ['-std=c11', '-O1', '-w', '-fPIC', '-fvisibility=hidden',
         '-D_GNU_SOURCE', '-pthread']
VARIANTS = {'real': [], 'sim': ['-DWEIR_SYSTEM="system/sim.h"', '-Itests/sim'], 'tsan': ['-fsanitize=thread'],
            'fault': ['-include', 'tests/fault/hooks.h']}

# By folder, or by the prefix of a file's name in it, the longest first: unit
# tests, scenarios (prefixes of their names), fault programs, stress.
MODULES = {
    'base/base': (['base'], [], [], []),
    'base/options': (['pool', 'gate', 'queue'], ['pool'], [], []),
    'base/spin': (['pool', 'group'], [], ['races'], ['pool', 'group']),
    'base/event_count': (['queue', 'pool'], ['event-count', 'queue', 'pool'],
                         ['core', 'races'], ['queue_gate', 'pool']),
    'base/ring': (['queue', 'pool'], ['queue', 'pool', 'group-room'],
                  ['core', 'races'], ['queue_gate', 'pool']),
    'base/heap': (['gate_key'], ['gate'], ['heap'], []),
    'base/siphash': (['table'], ['table'], ['siphash'], []),
    'base/processors': (['base', 'pool'], [], ['processors'], []),
    'queue': (['queue'], ['queue'], ['core'], ['queue_gate']),
    'gate': (['gate', 'gate_key', 'deferred', 'pool'],
             ['gate', 'pool', 'deferred'], ['core', 'rate'], ['queue_gate', 'deferred']),
    'table': (['table'], ['table'], ['table'], []),
    'writer': (['writer'], ['writer'], ['writer'], []),
    'pool/grow': (['grow', 'pool'], ['deferred-grow', 'pool'], ['core'],
                  ['grow']),
    'pool/caller': (['caller'], ['group-helped', 'pool'], [], ['pool']),
    'pool/context': (['on_stop', 'pool', 'deferred', 'caller'],
                     ['pool', 'deferred', 'group'], [], ['pool']),
    'pool/events': (['trace'], ['pool'], [], []),
    'pool/deferred': (['deferred', 'group_deferred', 'gate_key'], ['deferred'],
                      ['core'], ['deferred']),
    'pool': (['pool', 'deferred'], ['pool', 'deferred'], ['core'], ['pool']),
    'group': (['group', 'group_deferred'], ['group'], ['core'], ['group']),
    'sys': (['base', 'caller', 'pool', 'queue', 'table', 'writer'], [],
            ['core', 'table', 'writer'], ['pool']),
}
FOLDERS = sorted({name.split('/')[0] for name in MODULES})
# Programs that test only arithmetic, and the sources that they link.
PURE = {'rate': ['src/gate/rate.c'], 'siphash': [],
        'heap': ['src/base/heap.c'],
        'processors': ['src/base/processors.c', 'src/sys/posix.c']}
WRAPPED = re.compile(r"'(\w+)'")


class Broken(Exception):
    """The tests do not build or do not pass without a change."""


def module_of(path):
    part = path.removeprefix('src/').rsplit('.', 1)[0]
    fits = [m for m in MODULES if part == m or
            part.startswith((m + '/', m + '_'))]
    return MODULES[max(fits, key=len)]


def sources():
    """The sources of the core: the library without its HTTP part."""
    return sorted(p for folder in FOLDERS
                  for p in glob.glob('src/%s/*.[ch]' % folder)
                  if p != 'src/sys/sys.h')


def all_mutants():
    found = []
    for path in sources():
        with open(path) as f:
            found += mutants_of(path, f.read())
    return found


# ---- running a program that may hang ----

def usage(group):
    """The processor time that a process group has used, in clock ticks, and
    whether anything in it runs."""
    ticks, awake = 0, False
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        try:
            with open('/proc/%s/stat' % entry) as f:
                fields = f.read().rsplit(')', 1)[1].split()
            if int(fields[2]) != group:
                continue
            ticks += int(fields[11]) + int(fields[12])
            for task in os.listdir('/proc/%s/task' % entry):
                with open('/proc/%s/task/%s/stat' % (entry, task)) as f:
                    awake |= f.read().rsplit(')', 1)[1].split()[0] in 'RD'
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks, awake


def limit():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))


HANG_S = 6      # all threads asleep for this long: a hang


def run(command, limits, folder, env):
    """Run a command in a folder, with limits of processor time and elapsed
    time. Returns None if it succeeds, or why it failed; and both times."""
    child = subprocess.Popen(command, cwd=folder, env=env,
                             stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL,
                             start_new_session=True, preexec_fn=limit)
    begin = changed = time.monotonic()
    ticks, why, wait = 0, None, 0.01
    hertz = os.sysconf('SC_CLK_TCK')
    while why is None:
        try:
            status = child.wait(wait)
            return (None if status == 0 else 'status %d' % status,
                    (ticks / hertz, time.monotonic() - begin))
        except subprocess.TimeoutExpired:
            wait = min(wait * 2, 0.5)
        now = time.monotonic()
        used, awake = usage(child.pid)
        if used != ticks or awake:
            ticks, changed = used, now
        if now - changed > HANG_S:
            why = 'hang'
        elif used / hertz > limits[0] or now - begin > limits[1]:
            why = 'no end'
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    return why, (ticks / hertz, time.monotonic() - begin)


# ---- building ----

def compile_one(tree, variant, path, output, includes=()):
    command = [CC] + FLAGS + VARIANTS[variant] + ['-Isrc', '-Iinclude']
    command += ['-I' + i for i in includes]
    command += ['-MMD', '-MF', output + '.d', '-c', path, '-o', output]
    return subprocess.run(command, cwd=tree, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


class Base:
    """The unchanged core and the tests, built when they are first needed."""

    def __init__(self, work, jobs):
        self.work, self.jobs = work, jobs
        self.tree = os.path.join(work, 'base')
        self.lock = threading.Lock()
        self.times = {}
        os.makedirs(self.tree, exist_ok=True)
        for part in ('src', 'include', 'tests'):
            shutil.copytree(part, os.path.join(self.tree, part),
                            dirs_exist_ok=True)
        self.core = [p for p in sources() if p.endswith('.c')]
        with open('tests/fault/meson.build') as f:
            wraps = f.read().split("foreach name : ['open'")[1]
            wraps = wraps.split('fault_wraps +=')[0]
        self.wraps = ['-Wl,--wrap=' + w
                      for w in ['open'] + WRAPPED.findall(wraps)]

    def digest(self, paths):
        """A digest of the core and these sources."""
        number = hashlib.sha256()
        for path in sources() + paths:
            with open(os.path.join(self.tree, path), 'rb') as f:
                number.update(f.read())
        return number.hexdigest()[:16]

    def object(self, variant, path, includes=()):
        """The object of a source, compiled if necessary."""
        name = os.path.join(self.tree, variant, path.replace('/', '_') + '.o')
        if not self.fresh(name):
            os.makedirs(os.path.dirname(name), exist_ok=True)
            if not compile_one(self.tree, variant, path, name, includes):
                raise Broken('%s does not compile' % path)
        return name

    def fresh(self, name):
        try:
            made = os.stat(name).st_mtime
            return all(os.stat(os.path.join(self.tree, p)).st_mtime < made
                       for p in self.needs(name))
        except FileNotFoundError:
            return False

    def needs(self, name):
        with open(name + '.d') as f:
            return f.read().replace('\\\n', ' ').split(':', 1)[1].split()

    def objects(self, variant, paths, includes=()):
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            return list(pool.map(
                lambda p: self.object(variant, p, includes), paths))

    def core_objects(self, variant):
        paths = [p for p in self.core if variant != 'sim' or '/sys/' not in p]
        with self.lock:
            return dict(zip(paths, self.objects(variant, paths)))

    def test_sources(self, kind, name):
        """The sources of a test program besides the core."""
        if kind == 'unit':
            return ['tests/test_%s.c' % name]
        if kind == 'stress':
            return ['tests/stress/stress_%s.c' % name]
        if kind == 'fault':
            return ['tests/fault/test_%s.c' % name] if name in PURE else [
                'tests/fault/test_fault_%s.c' % name, 'tests/fault/inject.c']
        scenarios = sorted(glob.glob('tests/sim/*.c'))
        if kind == 'sim':
            return [p for p in scenarios if not p.endswith('threads.c')] + \
                sorted(glob.glob('tests/sim/system/*.c'))
        return [p for p in scenarios if p.endswith('threads.c') or
                'scenario_' in p and 'broken' not in p]

    def test_objects(self, kind, name):
        paths = self.test_sources(kind, name)
        variant = {'sim': 'sim', 'tsan': 'tsan'}.get(kind, 'real')
        with self.lock:
            return self.objects(variant, paths,
                                ['tests', 'tests/sim', 'tests/fault'])


class Build:
    """A separate tree that holds the core with one mutant."""

    def __init__(self, base, name):
        self.base = base
        self.tree = os.path.join(base.work, name)
        shutil.rmtree(self.tree, ignore_errors=True)
        os.makedirs(self.tree)
        for part in ('src', 'include', 'tests/fault', 'tests/sim/system'):
            shutil.copytree(os.path.join(base.tree, part),
                            os.path.join(self.tree, part))

    def set(self, mutant):
        """Returns False if the mutant does not compile, None if it changes
        nothing."""
        self.path, self.changed, self.linked = mutant.path, {}, {}
        original = os.path.join(self.base.tree, mutant.path)
        with open(original) as f:
            text = f.read()
        with open(os.path.join(self.tree, mutant.path), 'w') as f:
            f.write(mutant.apply(text))
        variants = ['real', 'sim', 'fault']
        if mutant.operator in ('weaker', 'early'):
            variants.append('tsan')
        differs = False
        for variant in variants:
            made = self.compile(variant)
            if made is None:
                return False
            differs |= bool(made)
        return True if differs else None

    def compile(self, variant):
        """Compile what the mutant may change. Returns the objects that
        changed, or None if one does not compile."""
        made = {}
        for path, plain in self.base.core_objects(variant).items():
            if self.path not in self.base.needs(plain):
                continue
            output = os.path.join(self.tree, variant + '_' +
                                  path.replace('/', '_') + '.o')
            if not compile_one(self.tree, variant, path, output):
                return None
            with open(output, 'rb') as a, open(plain, 'rb') as b:
                if a.read() != b.read():
                    made[path] = output
        self.changed[variant] = made
        return made

    def compile_tests(self, kind, name):
        made = []
        for path in self.base.test_sources(kind, name):
            output = os.path.join(self.tree, 'test_' + name + '.o')
            source = os.path.join(self.base.tree, path)
            if not compile_one(self.tree, 'real', source, output,
                               [os.path.join(self.base.tree, 'tests')]):
                raise Broken('%s does not compile' % path)
            made.append(output)
        return made

    def restore(self):
        shutil.copy(os.path.join(self.base.tree, self.path),
                    os.path.join(self.tree, self.path))

    def program(self, kind, name):
        """Link a test with the core of this tree. Returns its path."""
        variant = kind if kind in VARIANTS and name not in PURE else 'real'
        output = os.path.join(self.tree, kind + '_' + name)
        if (kind, name) in self.linked:
            return output
        core = dict(self.base.core_objects(variant))
        core.update(self.changed.get(variant, {}))
        tests = self.base.test_objects(kind, name)
        if kind == 'fault' and name in PURE:
            core = {p: o for p, o in core.items() if p in PURE[name]}
            if self.path.endswith('.h'):  # such a test includes it
                tests = self.compile_tests(kind, name)
        command = [CC, '-pthread', '-o', output] + VARIANTS[variant]
        command += tests + list(core.values())
        if kind == 'fault' and name not in PURE:
            command += self.base.wraps
        done = subprocess.run(command, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Broken('%s does not link: %s' %
                         (output, done.stderr.decode()[:500]))
        self.linked[kind, name] = True
        return output


# ---- judging ----

def unit_names():
    with open('tests/meson.build') as f:
        listed = f.read().split("unit_tests = ['base'")[1].split(']')[0]
    return ['base'] + WRAPPED.findall(listed)


class Judge:
    def __init__(self, base):
        self.base = base
        self.units = unit_names()
        self.scenarios = None
        self.times = os.path.join(base.work, 'times')
        self.clean = {}
        if os.path.exists(self.times):
            with open(self.times) as f:
                self.clean = json.load(f)
        self.lock = threading.Lock()
        self.plain = Build(base, 'plain')
        self.plain.path, self.plain.changed, self.plain.linked = '', {}, {}

    def scenario_names(self, beginnings):
        with self.lock:
            if self.scenarios is None:
                out = subprocess.run(
                    [self.plain.program('sim', 'sim'), '--list'],
                    stdout=subprocess.PIPE, check=True).stdout.decode()
                self.scenarios = [n for n in out.split()
                                  if not n.startswith('broken')]
        return [n for n in self.scenarios
                if any(n == b or n.startswith(b + '-') for b in beginnings)]

    def stages(self, mutant, build):
        """The tests to run, cheapest first: (kind, program, arguments)."""
        unit, scenarios, fault, stress = module_of(mutant.path)
        if build.changed['real']:
            for name in unit[:2]:
                yield 'unit', name, []
        if build.changed['sim']:
            for name in self.scenario_names(scenarios):
                for strategy in 'random', 'pct':
                    yield 'sim', 'sim', ['--scenario', name, '--strategy',
                                         strategy, '--runs', '300']
        if build.changed['real']:
            for name in fault:
                yield 'fault', name, []
            for name in unit[2:] + [n for n in self.units if n not in unit]:
                yield 'unit', name, []
        if build.changed.get('tsan'):
            for name in self.scenario_names(scenarios):
                yield 'tsan', 'threads', ['--scenario', name, '--ms', '150']
        if build.changed['real']:
            for name in stress:
                yield 'stress', name, []

    def limit_of(self, stage):
        """The time limit of a stage: a multiple of its time on the unchanged
        core, where it must pass."""
        name = ' '.join([stage[0], stage[1]] + stage[2])
        key = name + ' ' + self.base.digest(
            self.base.test_sources(stage[0], stage[1]))
        with self.lock:
            if key not in self.clean:
                why, took = self.run(self.plain, stage, (120, 300))
                if why is not None:
                    why, took = self.run(self.plain, stage, (120, 300))
                if why is not None:
                    raise Broken('%s fails without a mutant: %s' %
                                 (name, why))
                self.clean[key] = took[0] * 3 + 3, took[1] * 5 + 20
                with open(self.times, 'w') as f:
                    json.dump(self.clean, f)
            return self.clean[key]

    def run(self, build, stage, limits):
        kind, name, arguments = stage
        env = dict(os.environ, WEIR_TEST_SECONDS='1',
                   TSAN_OPTIONS='halt_on_error=1:allocator_may_return_null=1')
        folder = tempfile.mkdtemp(dir=build.tree)
        try:
            return run([build.program(kind, name)] + arguments, limits,
                       folder, env)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def judge(self, mutant, build):
        """None if it is not a mutant, '' if it survives, or what killed it."""
        try:
            if not build.set(mutant):
                return None
            for stage in self.stages(mutant, build):
                why, _ = self.run(build, stage, self.limit_of(stage))
                if why is not None:
                    return '%s %s: %s' % (stage[0], ' '.join(
                        stage[2][1:2] or [stage[1]]), why)
            return ''
        finally:
            build.restore()


class Arguments:
    """survivors.txt: a line names mutants, `...` matches anything; the
    indented lines after it say why they need not be killed."""

    def __init__(self):
        self.entries = []
        with open(os.path.join(HERE, 'survivors.txt')) as f:
            for line in f:
                if line.startswith('#') or not line.strip():
                    continue
                if line[0] != ' ':
                    parts = line.strip().split('...')
                    pattern = '.*'.join(re.escape(p) for p in parts)
                    self.entries.append([line.strip(),
                                         re.compile(pattern + '$'), False])
                else:
                    self.entries[-1][2] = True
        for line, _, argued in self.entries:
            if not argued:
                sys.exit('judge.py: no reason is given for: ' + line)

    def has(self, mutant):
        return any(p.match(mutant.name) for _, p, _ in self.entries)


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--count', type=int, default=200)
    parser.add_argument('--from', dest='first', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=1e9)
    parser.add_argument('--one')
    parser.add_argument('--match')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--survivors', action='store_true')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument('--work')
    return parser.parse_args()


def draw(found, o, argued):
    """In the order of a hash of the seed and the name, so that an additional
    mutant does not change the order of the others."""
    if o.one:
        return [m for m in found if m.id == o.one]
    if o.match:
        found = [m for m in found if o.match in m.name]
    if o.survivors:
        found = [m for m in found if argued.has(m)]
    return sorted(found, key=lambda m: hashlib.sha256(
        ('%d %s' % (o.seed, m.name)).encode()).digest())[o.first:]


def population(found, argued):
    """What the mutants are drawn from, for the table of tests/README.md."""
    weaker = [m for m in found if m.operator == 'weaker']
    return '%s mutants of the core; %d of %d weakened orders are exempt' % (
        format(len(found), ','), sum(map(argued.has, weaker)), len(weaker))


def main():
    o = options()
    os.chdir(ROOT)
    begin = time.monotonic()
    argued = Arguments()
    found = all_mutants()
    drawn = draw(found, o, argued)
    if o.list:
        for m in drawn:
            print(m.id, m.name)
        return 0
    for line, pattern, _ in argued.entries:
        if not any(pattern.match(m.name) for m in found):
            print('# argued, but there is no such mutant:', line)
    work = os.path.abspath(o.work) if o.work else tempfile.mkdtemp()
    try:
        return judge_all(o, drawn, argued, population(found, argued), work,
                         begin)
    finally:
        if not o.work:
            shutil.rmtree(work, ignore_errors=True)


def judge_all(o, drawn, argued, drawn_from, work, begin):
    base = Base(work, o.jobs)
    judge = Judge(base)
    lock = threading.Lock()
    left = iter(drawn)
    broken = []
    tally = {'drawn': 0, 'judged': 0, 'killed': 0, 'argued': 0, 'bad': 0}

    def worker(number):
        build = Build(base, 'mutant%d' % number)
        while not broken:
            with lock:
                if tally['judged'] >= o.count or \
                        time.monotonic() - begin > o.seconds:
                    return
                mutant = next(left, None)
                if mutant is None:
                    return
                tally['judged'] += 1
                tally['drawn'] += 1
            start = time.monotonic()
            try:
                verdict = judge.judge(mutant, build)
            except Broken as why:
                broken.append(str(why))
                return
            took = time.monotonic() - start
            with lock:
                if verdict is None:
                    tally['judged'] -= 1
                    continue
                kind = ('killed' if verdict else
                        'argued' if argued.has(mutant) else 'bad')
                tally[kind] += 1
                print('%s %s%s (%.0f s)\n    %s' % (
                    mutant.id, {'bad': 'SURVIVED', 'argued': 'survived'}.get(
                        kind, 'killed by '), verdict, took, mutant.name))
                sys.stdout.flush()

    threads = [threading.Thread(target=worker, args=(n,))
               for n in range(o.jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if broken:
        print('judge.py:', broken[0], file=sys.stderr)
        return 2
    print('# %d killed, %d argued to be harmless; the next piece is --from %d'
          % (tally['killed'], tally['argued'], o.first + tally['drawn']))
    print('tally: mutation | drawn of %s | %d | %d | %.0f' %
          (drawn_from, tally['killed'] + tally['argued'] + tally['bad'],
           tally['bad'], time.monotonic() - begin))
    return 1 if tally['bad'] else 0


if __name__ == '__main__':
    sys.exit(main())
