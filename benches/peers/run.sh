#!/usr/bin/env bash
# The networks of the packages beside other people's software:
#
#     benches/peers/run.sh inference [--only image:pneumonia] [--batches 1,32] [--threads 1,2]
#     benches/peers/run.sh training  [--threads 1,2]
#
# Makes a virtual environment of its own under target/peers, builds our side and prints one JSON
# line a case.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:-}
case $what in
  inference | training) shift ;;
  *) echo "usage: $0 inference|training [options]" >&2; exit 2 ;;
esac

wanted=benches/peers/requirements.txt
if ! cmp -s "$wanted" target/peers/requirements.txt; then
  python3 -m venv target/peers
  target/peers/bin/pip install --quiet -r "$wanted"
  cp "$wanted" target/peers/requirements.txt
fi
exec target/peers/bin/python "benches/peers/$what.py" "$@"
