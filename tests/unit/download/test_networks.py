import ipaddress

import pytest

from imgserve.download import Networks


def _words(text: str) -> list[str]:
    return text.split()


REFUSED = _words("""
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.0.0.53
127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.9
192.0.0.170 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7
203.0.113.9 224.0.0.1 224.0.0.251 239.255.255.250 240.0.0.1 255.255.255.254 255.255.255.255 :: ::1 ::127.0.0.1
::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808
64:ff9b:1::a00:1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:db8::1
2002:7f00:1:: 2002:808:808::1 3ffe::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fd12:3456::1 fe80::1 fe80::1%2
fe80::1%eth0 fec0::1 ff02::1 ff0e::1 4000::1 1fff::1
""")

PUBLIC = _words("""
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
223.255.255.255 2001:200::1 2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450:4001:80b::200e 3ffd::1
""")


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_of_the_public_internet_are_refused(address: str) -> None:
    assert not Networks().admit(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_public_internet_are_admitted(address: str) -> None:
    assert Networks().admit(address)


def test_what_python_takes_for_private_is_refused_too() -> None:
    known_public = {"192.0.0.9", "192.0.0.10", "192.31.196.1"}
    for first in range(256):
        for second in (0, 16, 18, 31, 64, 88, 127, 168, 254, 255):
            address = f"{first}.{second}.0.1"
            if not ipaddress.ip_address(address).is_global and address not in known_public:
                assert not Networks().admit(address), address


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.1", "2130706433", "1.2.3.4.5", "[::1]"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert not Networks(["0.0.0.0/0", "::/0"]).admit(text)


def test_a_network_may_be_allowed_and_no_other() -> None:
    networks = Networks(["127.0.0.0/8", "fd00::/8"])
    assert networks.admit("127.0.0.1")
    assert networks.admit("fd00::7")
    assert not networks.admit("10.0.0.1")
    assert not networks.admit("::ffff:127.0.0.1")
    assert not networks.admit("fe80::1")
