import boto3
import pytest

from functions.customers.record import InvalidCustomer
from functions.customers.sqlite import DuplicateEmail, UnknownCustomer
from infra.cloud.customers import StageCustomers


@pytest.fixture
def table(make_table):
    return make_table()


@pytest.fixture
def customers(table):
    return StageCustomers(boto3.client("dynamodb"), table.name)


def test_customers_are_kept_and_listed(customers):
    ada, bob = customers.add("Ada", "ada@example.com"), customers.add("Bob", "bob@example.com")
    assert customers.get(ada.customer_id) == ada
    assert {c.customer_id for c in customers.list()} == {ada.customer_id, bob.customer_id}


def test_an_address_belongs_to_one(customers):
    ada = customers.add("Ada", "ada@example.com")
    with pytest.raises(DuplicateEmail, match=ada.customer_id):
        customers.add("Ada again", "ADA@example.com")
    assert len(customers.list()) == 1
    with pytest.raises(InvalidCustomer):
        customers.add("", "x")


def test_erasing_leaves_nothing(customers, table):
    ada = customers.add("Ada", "ada@example.com")
    customers.erase(ada.customer_id)
    assert table.scan()["Items"] == []
    for operation in (customers.get, customers.erase):
        with pytest.raises(UnknownCustomer):
            operation(ada.customer_id)
    assert customers.add("Ada", "ada@example.com").customer_id != ada.customer_id


def test_the_claim_of_an_address_is_no_customer(customers):
    customers.add("Ada", "ada@example.com")
    with pytest.raises(UnknownCustomer):
        customers.get("email#ada@example.com")
