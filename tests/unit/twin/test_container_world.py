import pytest

from crossbook.bootstrap import UserPool, endpoint
from crossbook.containers.bootstrap import write_world_file
from crossbook.containers.world import ContainerWorld, DatabaseMarks, goes_on
from crossbook.errors import MixedWorldsError, SetupError

WORLD = ContainerWorld(
    number=18,
    world_id="0a1b2c3d",
    partitions=2,
    api_key_master="5e" * 32,
    user_pool=UserPool(user_pool_id="us-east-1_pool", client_id="client"),
)


@pytest.mark.parametrize("database", [None, WORLD], ids=["the first start", "LocalStack was restarted"])
def test_an_empty_cloud_is_a_fresh_world(database):
    assert not goes_on(cloud=None, database=database, partitions=2)


def test_halves_with_one_mark_go_on():
    assert goes_on(cloud=WORLD.world_id, database=WORLD, partitions=2)


@pytest.mark.parametrize(
    ("cloud", "database"),
    [
        pytest.param("ffffffff", WORLD, id="two worlds"),
        pytest.param(WORLD.world_id, None, id="the database was emptied"),
    ],
)
def test_halves_that_do_not_belong_together_are_refused_with_the_command_that_wipes(cloud, database):
    with pytest.raises(MixedWorldsError, match="docker compose down --volumes"):
        goes_on(cloud=cloud, database=database, partitions=2)


def test_a_world_keeps_its_number_of_partitions():
    with pytest.raises(SetupError, match="CROSSBOOK_PARTITIONS=2"):
        goes_on(cloud=WORLD.world_id, database=WORLD, partitions=4)


def test_all_names_of_a_world_hold_its_id():
    topology = WORLD.topology("crossbook")
    names = [queue.name for queue in topology.queues] + [topology.executions.name]
    names += [table.name for table in topology.tables] + [bucket.name for bucket in topology.buckets]
    names.append(DatabaseMarks("postgresql://host/crossbook").database_url(WORLD))
    assert all(WORLD.world_id in name for name in names)


def test_the_database_of_a_world_is_found_whatever_the_url_says_besides():
    url = DatabaseMarks("postgresql://user:word@host:5432/crossbook?sslmode=disable").database_url(WORLD)
    assert url == "postgresql://user:word@host:5432/crossbook_0a1b2c3d?sslmode=disable"


def test_neighbouring_worlds_have_other_redis_databases():
    assert WORLD.redis_database == 2


def test_a_service_with_an_address_of_its_own_is_found_there():
    environment = {
        "AWS_ENDPOINT_URL": "http://all:4566",
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": "http://cognito:4566",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://tables:8000",
    }
    assert endpoint(environment, "cognito-idp") == "http://cognito:4566"
    assert endpoint(environment, "dynamodb") == "http://tables:8000"
    assert endpoint(environment, "sqs") == "http://all:4566"


def test_the_world_file_is_what_a_shell_reads_and_is_left_alone_when_nothing_changed(tmp_path):
    path = tmp_path / "world.env"
    write_world_file(path, {"B": "with space; and 'more'", "A": "1"})
    assert path.read_text() == "A=1\nB='with space; and '\"'\"'more'\"'\"''\n"
    written = path.stat()
    write_world_file(path, {"A": "1", "B": "with space; and 'more'"})
    assert path.stat().st_ino == written.st_ino
    write_world_file(path, {"A": "2"})
    assert path.read_text() == "A=2\n" and [each.name for each in tmp_path.iterdir()] == ["world.env"]
