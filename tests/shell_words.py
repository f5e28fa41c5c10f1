"""Which commands a shell script calls: words where a command stands, also those in $(...) and in traps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

KEYWORDS = frozenset(("if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "time"))
#: of POSIX sh; bash has more
BUILTINS = frozenset(
    (
        *(".", ":", "[", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export"),
        *("false", "fg", "getopts", "hash", "jobs", "kill", "local", "printf", "pwd", "read", "readonly", "return"),
        *("set", "shift", "test", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait"),
    )
)
BASH = frozenset(
    (
        *("[[", "declare", "mapfile", "readarray", "source", "shopt", "let", "enable", "disown", "builtin", "caller"),
        *("pushd", "popd", "typeset"),
    )
)
#: commands whose first operand is a command again
CALLS = frozenset(("exec", "command", "env", "nohup", "time", "xargs", "eval"))
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*?)\n.*?\n\s*\2(?=\n|$)", re.DOTALL)


@dataclass
class Scan:
    """One script. ``words`` are the commands in their order; ``functions`` those that it defines itself."""

    text: str
    at: int = 0
    words: list[str] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)

    def run(self) -> Scan:
        self.text = _HEREDOC.sub(r"\3", self.text.replace("\\\n", " "))
        self._commands(end="")
        return self

    def _commands(self, end: str) -> None:  # noqa: C901 - one scan, one place
        """Read until ``end`` (a closing parenthesis, or nothing)."""
        starts, case, pattern = True, 0, False
        while self.at < len(self.text):
            char = self.text[self.at]
            if pattern and char not in " \t\n":
                if self.text.startswith("esac", self.at):
                    self.at, pattern, case, starts = self.at + 4, False, case - 1, True
                    continue
                self.at, pattern, starts = self.text.index(")", self.at) + 1, False, True
            elif self.text.startswith(";;", self.at) and case:
                self.at, pattern = self.at + 2, True
            elif char == end:
                self.at += 1
                return
            elif char in ";&|\n(":
                self.at, starts = self.at + 1, True
            elif char in " \t":
                self.at += 1
            elif char == "#":
                self.at = len(self.text) if (found := self.text.find("\n", self.at)) < 0 else found
            elif match := re.compile(r"\d*[<>]+[&|]?-?\s*").match(self.text, self.at):
                self.at = match.end()
                self._word()
            elif (word := self._word()) == "case" and starts:
                self._until("in")
                case, pattern, starts = case + 1, True, False
            elif word == "for" and starts:
                self.at = self.text.index("do", self.at) if " in " not in self._line() else self._after_list()
                starts = True
            elif starts:
                starts = self._command(word)

    def _command(self, word: str) -> bool:
        """Note a command; return whether another one may follow at once."""
        if word in KEYWORDS or re.match(r"\w+\+?=", word):
            return True
        if self.text.startswith("()", self.at):
            self.functions.add(word)
            self.at += 2
            return True
        if word == "[[":
            end = self.text.index(" ]]", self.at)
            inside = re.findall(r"\$\(([^()]+)\)", self.text[self.at : end])
            self.words += [name for part in inside for name in Scan(part).run().words]
            self.at = end + len(" ]]")
            return False
        self.words.append(word)
        if word == "trap":
            self._skip()
            self.words += Scan(self._word().strip("'\"")).run().words
        if word == "timeout":
            while self._next().startswith("-"):  # options, then the seconds
                pass
            return True
        return word in CALLS

    def _word(self) -> str:
        """Return the next word as it is written; what it substitutes is read on the way."""
        start = self.at
        while self.at < len(self.text) and (char := self.text[self.at]) not in " \t\n;&|()<>":
            if char == "'":
                self.at = self.text.index("'", self.at + 1) + 1
            elif char == '"':
                self._quoted()
            elif char == "$":
                self._dollar()
            else:
                self.at += 2 if char == "\\" else 1
        if self.at == start:
            self.at += 1  # a parenthesis that closes nothing of ours
        return self.text[start : self.at]

    def _quoted(self) -> None:
        self.at += 1
        while self.text[self.at] != '"':
            if self.text[self.at] == "$":
                self._dollar()
            else:
                self.at += 2 if self.text[self.at] == "\\" else 1
        self.at += 1

    def _dollar(self) -> None:
        if self.text.startswith("$((", self.at):
            self.at = self.text.index("))", self.at) + 2
        elif self.text.startswith("$(", self.at):
            self.at += 2
            self._commands(end=")")
        elif self.text.startswith("${", self.at):
            self.at = self.text.index("}", self.at) + 1
        else:
            self.at += 1

    def _skip(self) -> None:
        while self.text[self.at] in " \t":
            self.at += 1

    def _until(self, word: str) -> None:
        while self._next() != word:
            pass

    def _next(self) -> str:
        self._skip()
        return self._word()

    def _line(self) -> str:
        return self.text[self.at :].partition("\n")[0]

    def _after_list(self) -> int:
        """Read the words of a for loop, which may substitute commands; return where its body begins."""
        while self.text[self.at] not in ";\n":
            self._next() if self.text[self.at] not in " \t" else self._skip()
        return self.at


def commands(script: str, shell: str = "sh") -> Iterator[str]:
    """Yield what ``script`` calls that is neither of the shell itself nor a function of its own."""
    scan = Scan(script).run()
    own = BUILTINS | scan.functions | (BASH if shell == "bash" else frozenset())
    for word in scan.words:
        name = word.strip("'\"")
        if name not in own and not name.startswith(("$", "-")):
            yield name.rpartition("/")[2]
