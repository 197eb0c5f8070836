"""The list of cases, in the order in which they are written."""

CASES = []


def case(section, name, greet=True):
    """Registers a function of one connection. Without `greet` it sends its own preface."""

    def register(function):
        CASES.append((section, name, greet, function))
        return function

    return register
