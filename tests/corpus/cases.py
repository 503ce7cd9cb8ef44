"""Runs a module of unittest cases and prints how each one ended, in a fixed order.

    cases.py MODULE [PART...]     without the cases in whose name a PART occurs
"""
import os
import sys
import unittest

ends = {}


class Ends(unittest.TestResult):
    def note(self, test, end):
        # A subtest is named by its test; the worst of them counts.
        name = test.id().split(" ")[0]
        if ends.get(name) in (None, "ok", "skipped"):
            ends[name] = end

    def addSuccess(self, test):
        self.note(test, "ok")

    def addError(self, test, error):
        super().addError(test, error)
        self.note(test, "error")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note(test, "failed")

    def addSkip(self, test, reason):
        self.note(test, "skipped")

    def addExpectedFailure(self, test, error):
        self.note(test, "failed as expected")

    def addUnexpectedSuccess(self, test):
        self.note(test, "unexpected success")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            super().addSubTest(test, subtest, error)
            self.note(test, "failed")


def cases(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        elif not any(part in item.id() for part in sys.argv[2:]):
            yield item


# The cases themselves may print.
report = os.fdopen(os.dup(1), "w")
os.set_inheritable(report.fileno(), False)
os.dup2(2, 1)
me = os.getpid()
result = Ends()
unittest.TestSuite([
    unittest.TestSuite(cases(unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]))),
]).run(result)
if os.getpid() != me:
    os._exit(1)
for case, error in result.errors + result.failures:
    print(case, error, sep="\n", file=sys.stderr)
counts = {}
for name in sorted(ends):
    print(name, ends[name], file=report)
    counts[ends[name]] = counts.get(ends[name], 0) + 1
print(", ".join(f"{counts[end]} {end}" for end in sorted(counts)), file=report)
report.close()
