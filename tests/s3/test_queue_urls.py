"""Where a queue is and what region signs for it, in every form that AWS writes URLs in."""

from __future__ import annotations

import pytest

from temporal_runner_s3.queue_urls import queue_place
from tests.s3.conftest import OpenSource
from tests.s3.support import Sqs


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("sqs.eu-west-1.api.aws", "eu-west-1"),
        ("sqs-fips.us-east-1.api.aws", "us-east-1"),
        ("vpce-0a1b-2c3d.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("vpce-0a1b-2c3d.sqs.cn-north-1.vpce.amazonaws.com.cn", "cn-north-1"),
        ("vpce-0a1b-us-east-1a.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"),
    ],
)
def test_a_region_is_in_the_hosts_name(host: str, region: str) -> None:
    """And calls go to that host, a VPC's or a FIPS one, too."""
    assert queue_place(f"https://{host}/123456789012/q") == (region, f"https://{host}")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("queue.amazonaws.com", "us-east-1"),
        ("eu-west-1.queue.amazonaws.com", "eu-west-1"),
        ("cn-north-1.queue.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_the_oldest_form_goes_to_the_regions_endpoint(host: str, region: str) -> None:
    """Their hosts do not take what today's SDK sends."""
    assert queue_place(f"https://{host}/123456789012/q") == (region, None)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4566",
        "queue.example:9324",
        "sqs.eu-west-1.amazonaws.com.example",
        "sqs.eu-west-1.example",
        "xsqs.eu-west-1.amazonaws.com.evil.example",
    ],
)
def test_another_host_is_an_endpoint_of_its_own(host: str) -> None:
    """It never goes to AWS."""
    assert queue_place(f"http://{host}/000000000000/q") == (None, f"http://{host}")


async def test_a_queue_elsewhere_needs_no_endpoint_url(queue: Sqs, open_source: OpenSource) -> None:
    """The URL alone leads there."""
    source = await open_source(queue_url=queue.url, endpoint_url=None)
    assert queue.url in source.describe()
