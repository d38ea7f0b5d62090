"""What threads and processes bring: the four reads of a bucket, with nothing but boto3, spread in different ways.

`python -m tests.bench.spread` prints calls a second and CPU a call for 1 to 32 threads in 1 and 2 processes, at once
and with the 30 ms that an answer from AWS takes at best.
"""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from tests.bench import world
from tests.bench.phase import cpu_seconds
from tests.bench.setting import stub

THREADS = (1, 8, 16, 32)
PROCESSES = (1, 2)


def read_all(url: str, buckets: list[str], threads: int) -> dict[str, float]:
    """Read the buckets in this process with one client, and say what it took."""
    client: Any = boto3.client(
        "s3",
        region_name=world.REGION,
        endpoint_url=url,
        aws_access_key_id=f"ASIA{world.ACCOUNT_A}BENC",
        aws_secret_access_key="secret",
        config=Config(max_pool_connections=threads),
    )

    def read(bucket: str) -> None:
        client.head_bucket(Bucket=bucket)
        client.get_bucket_encryption(Bucket=bucket)
        client.get_public_access_block(Bucket=bucket)
        client.get_bucket_policy(Bucket=bucket)

    read(buckets[0])
    before, began = cpu_seconds(), time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, buckets))
    return {"calls": 4 * len(buckets), "seconds": time.monotonic() - began, "cpu": cpu_seconds() - before}


def spread(url: str, buckets: list[str], threads: int, processes: int) -> tuple[float, float]:
    """Calls a second over all processes, and CPU seconds a call."""
    shares = [(url, buckets[number::processes], threads) for number in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = pool.starmap(read_all, shares)
    calls = sum(each["calls"] for each in found)
    return calls / max(each["seconds"] for each in found), sum(each["cpu"] for each in found) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--buckets", type=int, default=500)
    names = [name for name in world.bucket_names(10 * parser.parse_args().buckets) if world.bucket_policy(name)]
    names = names[: parser.parse_args().buckets]
    print(json.dumps({"buckets": len(names)}))
    print(f"{'latency':>8}{'processes':>10}{'threads':>8}{'calls/s':>9}{'CPU ms/call':>12}")
    for latency in (0.0, 0.03):
        with stub(latency) as url:
            for processes in PROCESSES:
                for threads in THREADS:
                    chosen = names if latency == 0 or threads * processes > 1 else names[:100]
                    rate, cpu = spread(url, chosen, threads, processes)
                    print(
                        f"{latency * 1e3:>6.0f}ms{processes:>10}{threads:>8}{rate:>9.0f}{cpu * 1e3:>12.3f}", flush=True
                    )


if __name__ == "__main__":
    main()
