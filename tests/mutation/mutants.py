# SPDX-License-Identifier: MIT
"""The small changes that can be made in a source, one at a time.

Operators:
  drop    a statement is removed
  post    the same, if the statement wakes a thread
  early   an unlock comes one statement early
  negate  a condition of if, while, for or ?:, == or != is negated
  once    while becomes if
  off     < becomes <=, > becomes >=, and vice versa; + 1 and - 1 are removed
  weaker  an ordered atomic access becomes relaxed

A mutant is named by its file, function, operator and the statement or
condition it changes, with a number if a function has several of the same
name, and not by lines, so that it keeps its name while others change.
"""
import hashlib
import re

POSTS = re.compile(r'\b(weir_\w*'
                   r'(wake|post|notify|check_idle|signal)\w*'
                   r'|sem_post|pthread_cond_\w*)\s*\(')
WORDS = {'if', 'while', 'for', 'switch', 'do', 'else', 'return', 'goto',
         'break', 'continue', 'case', 'default'}
TYPES = {'struct', 'enum', 'union', 'const', 'static', 'unsigned', 'int',
         'bool', 'char', 'double', 'long', 'void', 'size_t', 'ssize_t',
         'uint64_t', 'int64_t', 'uint32_t', 'uintptr_t', 'uint8_t',
         '_Alignas', 'WEIR_ATOMIC', 'extern', 'typedef'}
TOKEN = re.compile(r'[A-Za-z_]\w*|\d[\w.]*|<<=|>>=|->|\+\+|--|<<|>>|<=|>='
                   r'|==|!=|&&|\|\||[-+*/%&|^]=|\S')


class Mutant:
    def __init__(self, path, function, operator, what, edits):
        self.path, self.function, self.operator = path, function, operator
        self.what = ' '.join(what.split())
        self.edits = edits  # (start, end, new text), not overlapping
        self.number = 1

    @property
    def name(self):
        return '%s %s %s %d | %s' % (self.path, self.function, self.operator,
                                     self.number, self.what)

    @property
    def id(self):
        return hashlib.sha256(self.name.encode()).hexdigest()[:8]

    def apply(self, text):
        for start, end, new in sorted(self.edits, reverse=True):
            # Lines keep their numbers, which the objects may hold.
            lines = text.count('\n', start, end) - new.count('\n')
            text = text[:start] + new + '\n' * lines + text[end:]
        return text


def blank(text):
    """The text without comments, literals and directives, of equal length."""
    def spaces(match):
        return re.sub(r'[^\n]', ' ', match.group())
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
                  r"|'(?:\\.|[^'\\\n])*'", spaces, text, flags=re.S)
    return re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', spaces, text, flags=re.M)


class Source:
    def __init__(self, path, text):
        self.path, self.text = path, text
        clean = blank(text)
        self.tokens = [(m.group(), m.start(), m.end())
                       for m in TOKEN.finditer(clean)]
        self.match = {}
        stack = []
        for i, (word, _, _) in enumerate(self.tokens):
            if word in '([{':
                stack.append(i)
            elif word in ')]}':
                self.match[stack.pop()] = i
        self.mutants = []
        self.functions()
        self.number()

    def word(self, i):
        return self.tokens[i][0] if i < len(self.tokens) else ''

    def span(self, i, j):
        """The text from token i to token j, both included."""
        return self.text[self.tokens[i][1]:self.tokens[j][2]]

    def add(self, operator, what, *edits):
        self.mutants.append(Mutant(self.path, self.name, operator, what,
                                   list(edits)))

    def number(self):
        seen = {}
        for m in self.mutants:
            key = (m.function, m.operator, m.what)
            seen[key] = m.number = seen.get(key, 0) + 1

    def functions(self):
        """Find the bodies of functions, which begin at depth 0."""
        i = start = 0
        while i < len(self.tokens):
            word = self.word(i)
            if word == '{':
                head = [self.word(k) for k in range(start, i)]
                if '(' in head and '=' not in head:
                    self.name = head[head.index('(') - 1]
                    self.block(i)
                i = self.match[i]
                start = i + 1
            elif word == '(':
                i = self.match[i]
            elif word == ';':
                start = i + 1
            i += 1

    def block(self, opening):
        i, before = opening + 1, None
        while i < self.match[opening]:
            end, kind = self.statement(i)
            if kind == 'expression':
                self.unlock(before, i, end)
            before = (i, end) if kind == 'expression' else None
            i = end + 1

    def unlock(self, before, i, end):
        if before is None or not re.search(r'unlock', self.word(i)):
            return
        first, last = before
        if re.search(r'lock', self.word(first)):
            return
        self.add('early', self.span(first, last),
                 (self.tokens[first][1], self.tokens[first][1],
                  self.span(i, end) + ' '),
                 (self.tokens[i][1], self.tokens[end][2], ';'))

    def condition(self, opening):
        end = self.match[opening]
        if end > opening + 1:
            what = self.span(opening + 1, end - 1)
            self.add('negate', what,
                     (self.tokens[opening][2], self.tokens[opening][2], '!('),
                     (self.tokens[end][1], self.tokens[end][1], ')'))
            self.expression(opening + 1, end - 1, True)
        return end

    def statement(self, i):
        """Returns the last token of the statement, and its kind."""
        word = self.word(i)
        if word == '{':
            self.block(i)
            return self.match[i], 'block'
        if word in ('if', 'while', 'switch'):
            end = self.match[i + 1]
            if word == 'switch':
                self.expression(i + 2, end - 1, False)
            else:
                self.condition(i + 1)
            if word == 'while':
                self.add('once', self.span(i + 2, end - 1),
                         (self.tokens[i][1], self.tokens[i][2], 'if'))
            end, _ = self.statement(end + 1)
            if word == 'if' and self.word(end + 1) == 'else':
                end, _ = self.statement(end + 2)
            return end, word
        if word == 'for':
            parts = [k for k in range(i + 2, self.match[i + 1])
                     if self.word(k) == ';']
            if parts[1] > parts[0] + 1:
                self.add('negate', self.span(parts[0] + 1, parts[1] - 1),
                         (self.tokens[parts[0]][2],) * 2 + (' !(',),
                         (self.tokens[parts[1]][1],) * 2 + (')',))
            self.expression(i + 2, self.match[i + 1] - 1, True)
            return self.statement(self.match[i + 1] + 1)[0], word
        if word == 'do':
            end, _ = self.statement(i + 1)
            return self.condition(end + 2) + 1, word
        if word in ('case', 'default') or (
                self.word(i + 1) == ':' and word not in WORDS):
            while self.word(i) != ':':
                i += 1
            return i, 'label'
        end = i
        while self.word(end) != ';':
            end = self.match[end] + 1 if end in self.match else end + 1
        self.expression(i, end - 1, False)
        if word in WORDS or self.is_declaration(i):
            return end, 'other'
        what = self.span(i, end)
        if end > i:
            self.add('post' if POSTS.match(what) else 'drop', what,
                     (self.tokens[i][1], self.tokens[end][1], ''))
        return end, 'expression'

    def is_declaration(self, i):
        word = self.word(i)
        return word in TYPES or word == '_Static_assert' or (
            re.match(r'[A-Za-z_]\w*$', word) is not None and
            re.match(r'[A-Za-z_]\w*$', self.word(i + 1)) is not None)

    def expression(self, i, end, whole):
        """Apply the operators from token i to token end; `whole`: this is the
        condition of a statement, which is negated if it is a single one."""
        words = [self.word(k) for k in range(i, end + 1)]
        single = whole and '&&' not in words and '||' not in words
        flips = {'==': '!=', '!=': '=='}
        bounds = {'<': '<=', '<=': '<', '>': '>=', '>=': '>'}
        for k in range(i, end + 1):
            word, start, stop = self.tokens[k]
            if word in flips and not single:
                self.add('negate', self.around(k, i, end),
                         (start, stop, flips[word]))
            elif word == '?' and k > i:
                self.ternary(k, i)
            elif word in bounds:
                self.add('off', self.around(k, i, end),
                         (start, stop, bounds[word]))
            elif word in '+-' and self.word(k + 1) == '1' and k > i and \
                    re.match(r'[\w)\]]', self.word(k - 1)):
                self.add('off', self.around(k, i, end),
                         (start, self.tokens[k + 1][2], ''))
            elif word in ('weir_seq_cst', 'weir_acquire', 'weir_release',
                          'weir_acq_rel'):
                self.add('weaker', self.around(k, i, end),
                         (start, stop, 'weir_relaxed'))

    def ternary(self, k, first):
        """Negate the condition before the ? of token k."""
        depth, i = 0, k
        while i > first:
            word = self.word(i - 1)
            if word in ')]}':
                depth += 1
            elif word in '([{':
                if depth == 0:
                    break
                depth -= 1
            elif depth == 0 and word in ('=', ',', 'return', ':', '?', '+=',
                                         '-=', ';', '|=', '&='):
                break
            i -= 1
        self.add('negate', self.span(i, k - 1),
                 (self.tokens[i][1],) * 2 + ('!(',),
                 (self.tokens[k][1],) * 2 + (') ',))

    def around(self, k, i, end):
        """The neighbours of a token, which identify it among similar ones."""
        return self.span(max(i, k - 6), min(end, k + 6))


def mutants_of(path, text):
    return Source(path, text).mutants
