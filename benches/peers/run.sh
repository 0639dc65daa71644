#!/usr/bin/env bash
# The networks of the packages, and the server, beside other people's software:
#
#     benches/peers/run.sh inference [--only image:pneumonia] [--batches 1,32] [--threads 1,2]
#     benches/peers/run.sh training  [--threads 1,2]
#     benches/peers/run.sh serving   [--rounds 5] [--seconds 4] [--only medserve,fastapi]
#
# Makes virtual environments of its own under target/ and prints one JSON line a case. The first two build
# our side; `serving` needs wrk and a release build of medserve (or --program). Its peers cannot share one
# environment: MLServer wants an older FastAPI, Triton's Python backend an older numpy.
set -euo pipefail
cd "$(dirname "$0")/../.."

# environment FOLDER REQUIREMENTS: a virtual environment, made once for each content of the file.
environment() {
  cmp -s "benches/peers/$2" "$1/requirements.txt" && return
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet -r "benches/peers/$2"
  cp "benches/peers/$2" "$1/requirements.txt"
}

what=${1:-}
case $what in
  inference | training)
    environment target/peers requirements.txt
    python=target/peers/bin/python
    ;;
  serving)
    for peer in serving mlserver triton; do
      environment "target/peers-$peer" "requirements-$peer.txt"
    done
    python=target/peers-serving/bin/python
    ;;
  *) echo "usage: $0 inference|training|serving [options]" >&2; exit 2 ;;
esac
shift
exec "$python" "benches/peers/$what.py" "$@"
