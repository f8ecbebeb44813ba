import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from functions.customers.record import InvalidCustomer
from functions.customers.sqlite import DuplicateEmail, SqliteCustomers, UnknownCustomer
from functions.sqlite import UnusableDatabase


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "customers.db")


@pytest.fixture
def customers(path):
    return SqliteCustomers(path)


def test_a_customer_is_kept_under_a_pseudonym(customers, path):
    added = customers.add(" Ada Lovelace ", "ada@example.com ")
    assert re.fullmatch(r"cus_[0-9A-Za-z]{16}", added.customer_id)
    assert (added.name, added.email) == ("Ada Lovelace", "ada@example.com")
    assert customers.get(added.customer_id) == added
    assert list(SqliteCustomers(path).list()) == [added]


def test_customers_are_listed_by_age(customers):
    added = [customers.add(f"Customer {n}", f"c{n}@example.com") for n in range(5)]
    assert list(customers.list()) == added


def test_an_address_belongs_to_one_customer(customers):
    first = customers.add("Ada", "ada@example.com")
    with pytest.raises(DuplicateEmail, match=first.customer_id):
        customers.add("Another Ada", "ADA@Example.com")
    assert len(customers.list()) == 1


@pytest.mark.parametrize("name", ["", "  ", "a" * 201, "a\nb", "\x1b[31mred", "a\ud800"])
def test_a_name_that_can_not_be_used_is_refused(customers, name):
    with pytest.raises(InvalidCustomer, match="name of 1 to 200"):
        customers.add(name, "ada@example.com")
    assert not customers.list()


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "a b@example.com",
        "a@b@example.com",
        "ada@.com",
        "ada@example..com",
        "ada@example.com\n.x",
        "a" * 65 + "@example.com",
        "a@" + "b" * 250 + ".com",
    ],
)
def test_an_address_that_can_not_be_used_is_refused(customers, email):
    with pytest.raises(InvalidCustomer, match=r"ada@example\.com was expected"):
        customers.add("Ada", email)
    assert not customers.list()


def test_an_erased_identity_is_in_no_file_any_more(customers, path):
    others = [customers.add(f"Customer {n}", f"c{n}@example.com") for n in range(200)]
    ada = customers.add("Ada Lovelace", "ada@example.com")
    customers.erase(ada.customer_id)
    for file in Path(path).parent.iterdir():
        assert not re.search(rb"lovelace|ada@example", file.read_bytes(), re.IGNORECASE)
    assert list(customers.list()) == others


def test_an_erased_customer_is_unknown(customers):
    ada = customers.add("Ada", "ada@example.com")
    customers.erase(ada.customer_id)
    for operation in (customers.get, customers.erase):
        with pytest.raises(UnknownCustomer) as error:
            operation(ada.customer_id)
        assert "payphone customer list" in str(error.value)
    assert customers.add("Ada", "ada@example.com").customer_id != ada.customer_id


def test_only_the_owner_may_read_the_file(customers, path):
    customers.add("Ada", "ada@example.com")
    assert [stat.S_IMODE(file.stat().st_mode) for file in Path(path).parent.iterdir()] == [0o600]


def test_a_locked_file_is_an_error_that_says_so(customers, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnusableDatabase, match="locked"):
            customers.add("Ada", "ada@example.com")
    assert customers.add("Ada", "ada@example.com")
