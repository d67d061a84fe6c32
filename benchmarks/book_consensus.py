"""The order book alone on a neutral workload.

Claimed: at least 1.5 million messages/s on the worst of five price scenarios, interpreted.

Measured: the scenarios of OMS_FLOW_DATA (100,000 messages each: new, IOC, cancel, modify) go
through benchmarks/adapters/consensus.py, whose reports are made and dropped. A trial is a fresh
process that plays each scenario once, with what was loaded frozen out of the collector's sight.

Inside the timed part: the adapter, the book, making the report tuples. Outside: reading and
unpacking the workload. Whether the reports are right is tests/test_validators.py's to say.
"""

import argparse
import gc
import importlib.util
import sys
from types import ModuleType

from common import DATA, TREE, Claim, Figures, parser, report, skip

CLAIMS = [Claim("worst_messages_per_s", ">=", 1_500_000)]
TOOL = DATA / "tools" / "replay_consensus.py"
ADAPTER = TREE / "benchmarks" / "adapters" / "consensus.py"


def measure(args: argparse.Namespace) -> Figures:
    tool = load_tool()
    adapter = tool.load_adapter(str(ADAPTER))
    rates: Figures = {}
    for scenario in tool.SCENARIOS:
        path = DATA / "data" / "consensus" / f"{scenario}.bin.xz"
        messages = tool.read_workload(str(path), args.messages)
        gc.collect()
        gc.freeze()
        _, seconds = tool.drive(tool.fresh(adapter), messages, keep=False)
        rates[scenario] = len(messages) / seconds
        gc.unfreeze()
    return {"worst_messages_per_s": min(map(float, rates.values())), **rates}


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay_consensus", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--messages", type=int, help="per scenario; default: all")
    args = arguments.parse_args()
    if args.quick:
        args.messages = 10_000
    if not TOOL.exists():
        return skip("book_consensus", f"{TOOL} is not there; set OMS_FLOW_DATA")
    return report("book_consensus", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
