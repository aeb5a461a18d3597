"""One archive that reproduces a run elsewhere: python -m mdcore.run_bundle --tag TAG"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m mdcore.run_bundle", description="Bundle a run, or make a bundle again.")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--tag", help="bundle this analysed run")
    what.add_argument("--unpack", metavar="ARCHIVE", help="unpack a bundle into a directory of its own, and check it")
    what.add_argument("--reproduce", metavar="DIR", help="check an unpacked bundle, train, analyse, and compare")
    p.add_argument("--all", action="store_true", help="with --reproduce: train all conditions, not the quickest only")
    p.add_argument("--output_dir", default=".", metavar="DIR", help="with --unpack: where its directory goes (.)")
    p.add_argument("--output", default="", metavar="FILE", help="the archive (analysis_results/<tag>.tar.gz)")
    p.add_argument("--input_dir", default="", metavar="DIR", help="the analysis (analysis_results/<tag>)")
    p.add_argument("--runs_dir", default="runs_out", metavar="DIR", help="where the runs are (runs_out)")
    p.add_argument("--leave_out", action="append", default=[], metavar="NAME[=FROM]",
                   help="data that must not travel: their sha256 and where they come from stand for them")  # fmt: skip
    p.add_argument("--largest_mb", type=float, default=100.0, metavar="MB", help="larger data do not travel (100)")
    p.add_argument(
        "--add", action="append", default=[], metavar="FILE", help="a file that a data set of your own reads"
    )
    p.add_argument(
        "--as_it_is", action="store_true", help="also a run that is unfinished or was trained with other code"
    )
    return p


def main(argv: list[str] | None = None) -> int:
    """Exit status 0; 1 where what was made again differs; 2 where the request is wrong."""
    from mdcore.store.bundles import archive, contents, reproduction
    from mdcore.store.runs import RunError
    from mdcore.streams import steady_streams

    steady_streams()
    o = parser().parse_args(argv)
    try:
        if o.reproduce is not None:
            return 0 if reproduction.reproduce(Path(o.reproduce), o.all) else 1
        if o.unpack is not None:
            place = archive.unpack(Path(o.unpack), Path(o.output_dir))
            print(f"unpacked: {place}\nto reproduce it: cd {place} && python -m mdcore.run_bundle --reproduce .")
            return 0
        request = contents.BundleRequest(
            o.tag, o.runs_dir, o.input_dir, o.output, tuple(o.leave_out), o.largest_mb, tuple(o.add), o.as_it_is
        )
        bundle = contents.gather(request)
        archive.write(bundle, request.archive)
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    size = request.archive.stat().st_size / 1e6
    print("\n".join([*bundle.notes, f"bundle: {request.archive} ({len(bundle.files) + 1} files, {size:.1f} MB)"]))
    print(
        f"to unpack it: python -m mdcore.run_bundle --unpack {request.archive}, or tar xzf; its README.md says the rest"
    )
    return 0


if __name__ == "__main__":
    from mdcore.streams import end_with

    end_with(main)
