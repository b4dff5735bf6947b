"""A lit format whose tests are commands: one per model, seed or group of cases."""

import shlex

import lit.formats
import lit.Test
import lit.TestRunner
import lit.util


class CommandTests(lit.formats.TestFormat):
    """`commands` is a list of (name, argv); substitutions in argv are expanded.

    Tests named in `fast` belong to the fast suite too.
    """

    def __init__(self, commands, fast=()):
        self.commands, self.fast = dict(commands), frozenset(fast)

    def getTestsInDirectory(self, suite, path_in_suite, lit_config, local_config):
        for name in self.commands:
            if local_config.fast and name not in self.fast:
                continue
            yield lit.Test.Test(suite, path_in_suite + (name,), local_config)

    def execute(self, test, lit_config):
        argv = [self.expand(word, test.config) for word in self.commands[test.path_in_suite[-1]]]
        timeout = lit_config.maxIndividualTestTime
        try:
            out, err, code = lit.util.executeCommand(argv, env=test.config.environment, timeout=timeout)
        except lit.util.ExecuteCommandTimeoutException as limit:
            return lit.Test.TIMEOUT, f"{shlex.join(argv)}\n{limit.out}{limit.err}"
        if code:
            return lit.Test.FAIL, f"{shlex.join(argv)}\n{out}{err}"
        return lit.Test.PASS, ""

    @staticmethod
    def expand(word, config):
        for pattern, value in config.substitutions:
            if isinstance(pattern, str) and pattern.startswith("%"):
                word = word.replace(pattern, value.strip('"'))
        return word
