"""One client: its hello, then packet after packet until it leaves."""

import hmac
import logging
import socket
from contextlib import closing
from dataclasses import dataclass

from heliograph.clickhouse.embedded import native, wire
from heliograph.clickhouse.embedded.engine import DATABASE, BlockFile, Engine, Session
from heliograph.clickhouse.embedded.errors import (
    AUTHENTICATION_FAILED,
    NOT_IMPLEMENTED,
    QUERY_WAS_CANCELLED,
    TOO_LARGE,
    UNEXPECTED_PACKET,
    UNKNOWN_PACKET,
    ClientGoneError,
    EngineError,
    ProtocolError,
    ServerError,
)
from heliograph.clickhouse.embedded.statements import InsertOfBlocks, insert_of_blocks
from heliograph.clickhouse.embedded.watch import Watch, Watcher
from heliograph.clickhouse.embedded.wire import Source

logger = logging.getLogger(__name__)

USER = "heliograph"
# A hello is a few dozen bytes that a client sends at once; who says nothing holds a thread.
HELLO_SECONDS = 10
# Pools keep connections; ClickHouse's own idle limit is the same hour.
IDLE_SECONDS = 3600
# A client that does not take its result, or stops in the middle of an insert, holds a query; ClickHouse's default.
TRANSFER_SECONDS = 300
# An insert is handed to the engine in parts of this size, so that its memory is bounded whatever the client sends.
INSERT_PART_BYTES = 64 * 2**20
MAX_SETTINGS = 1000

# A server of ClickHouse asks for the tables of one question.
MAX_TABLES = 10_000

_HELLO, _QUERY, _DATA, _CANCEL, _PING, _TABLES_STATUS = range(6)
# What a server has computed of a question for the one that it asks, as the shard's number; nothing of ours asks for it.
_SCALAR = 7
MAX_SCALARS = 100
# Whether a question is to be answered to its end. A server that puts the answers of several together asks for less:
# states of aggregates that are not final, which the engine gives to nobody outside.
_COMPLETE = 2
# What a question came over at first, as the client says: a program's TCP, or a page's HTTP; others say nothing more.
_TCP, _HTTP = 1, 2


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    settings: dict[str, tuple[str, bool]]
    compress: bool
    stage: int = _COMPLETE


STAGE_TEXT = (
    "The embedded server answers whole questions only, and no part of one for a server that asks several: ask one "
    "server, or set distributed_group_by_no_merge = 1 where each shard's answer is whole"
)


class Client:
    """Serves one accepted socket; `serve` returns when it is done."""

    def __init__(self, connection: socket.socket, engine: Engine, watcher: Watcher, password: str) -> None:
        self._connection = connection
        self._engine = engine
        self._watcher = watcher
        self._password = password
        self._source = wire.socket_source(connection)

    def serve(self) -> None:
        try:
            with closing(self._hello()) as session:
                while True:
                    self._packet(session)
        except ClientGoneError:
            return
        except (ServerError, EOFError, MemoryError) as error:
            # A made-up length ends as EOFError or MemoryError; the stream cannot be followed from here.
            problem = (
                error if isinstance(error, ServerError) else ProtocolError(TOO_LARGE, f"Unreadable packet: {error!r}")
            )
            logger.warning("Closing a connection: %s", problem.text)
            try:
                self._send(wire.exception_packet(problem))
            except ClientGoneError:
                return

    def _send(self, content: bytes) -> None:
        try:
            self._connection.sendall(content)
        except OSError as error:
            raise ClientGoneError(str(error)) from error

    def _hello(self) -> Session:
        self._connection.settimeout(HELLO_SECONDS)
        source = self._source
        if source.varint() != _HELLO:
            raise ProtocolError(UNEXPECTED_PACKET, "This port speaks ClickHouse's native protocol")
        source.string()
        source.varint()
        source.varint()
        revision = source.varint()
        database, user, password = source.string() or DATABASE, source.raw_string(), source.raw_string()
        if revision < wire.REVISION:
            raise ProtocolError(NOT_IMPLEMENTED, f"The client is too old: revision {revision} is below {wire.REVISION}")
        matches = hmac.compare_digest(password, self._password.encode()) & hmac.compare_digest(user, USER.encode())
        if not matches:
            raise ProtocolError(
                AUTHENTICATION_FAILED, "Authentication failed: password is incorrect, or there is no such user"
            )
        session = self._engine.session()
        try:
            session.use(database)
            self._send(wire.hello_packet(self._engine.version, self._engine.timezone, self._engine.host_name))
        except BaseException:
            session.close()
            raise
        return session

    def _packet(self, session: Session) -> None:
        self._connection.settimeout(IDLE_SECONDS)
        kind = self._source.varint()
        self._connection.settimeout(TRANSFER_SECONDS)
        if kind == _PING:
            self._send(wire.PONG)
        elif kind == _QUERY:
            self._query(session)
        elif kind == _TABLES_STATUS:
            self._send(wire.tables_status_packet(session.tables_among(read_tables(self._source))))
        elif kind != _CANCEL:  # a Cancel may cross the end of the statement it is for
            raise ProtocolError(UNKNOWN_PACKET, f"Unknown packet {kind} from the client")

    def _query(self, session: Session) -> None:
        query = read_query(self._source)
        insert = insert_of_blocks(query.text)
        try:
            if query.stage != _COMPLETE:
                raise ServerError(NOT_IMPLEMENTED, STAGE_TEXT)
            session.configure(query.settings)
            if insert is None:
                self._answer(session, query)
            else:
                self._insert(session, query, insert)
        except ProtocolError:
            raise
        except ServerError as error:
            self._send(wire.exception_packet(error))
        else:
            self._send(wire.END_OF_STREAM)

    def _answer(self, session: Session, query: Query) -> None:
        mark = self._engine.new_mark()
        watch = self._watcher.begin(self._connection, mark)
        try:
            self._read_ahead(watch)
            with closing(session.blocks(query.text, mark)) as blocks:
                for block in blocks:
                    if watch.cancelled.is_set():
                        break
                    self._send(wire.data_packet(block, compress=query.compress))
        except EngineError as error:
            if not (watch.cancelled.is_set() and error.code == QUERY_WAS_CANCELLED):
                raise
        finally:
            self._watcher.end(watch)
        if watch.gone:
            raise ClientGoneError("closed while its query ran")

    def _read_ahead(self, watch: Watch) -> None:
        """Heed a Cancel that came in one segment with its query, where the watcher cannot see it."""
        if not self._source.buffered:
            return
        if self._source.varint() != _CANCEL:
            raise ProtocolError(UNEXPECTED_PACKET, "A packet came before the answer to the last one")
        self._watcher.cancel(watch)

    def _insert(self, session: Session, query: Query, insert: InsertOfBlocks) -> None:
        sample = wire.header_block(session.columns(insert.sample))
        self._send(wire.data_packet(sample, compress=query.compress))
        failure: EngineError | None = None
        part = 0
        with closing(BlockFile()) as gathered:
            while block := self._read_block(compress=query.compress):
                # After a failure the rest is still on its way: it is read to its end, so that the next packet is found.
                if failure is not None:
                    continue
                gathered.append(block)
                if gathered.size >= INSERT_PART_BYTES:
                    failure = self._store(session, insert, gathered, part)
                    part += 1
            if gathered.size and failure is None:
                failure = self._store(session, insert, gathered, part)
        if failure is not None:
            raise failure

    def _read_block(self, *, compress: bool) -> list[memoryview]:
        """Return the next block of an insert, or nothing at its end."""
        kind = self._source.varint()
        if kind == _CANCEL:
            raise ServerError(QUERY_WAS_CANCELLED, "Query was cancelled")
        if kind != _DATA:
            raise ProtocolError(UNEXPECTED_PACKET, f"Packet {kind} in the middle of an insert")
        return read_data(self._source, compress=compress)

    def _store(self, session: Session, insert: InsertOfBlocks, gathered: BlockFile, part: int) -> EngineError | None:
        try:
            session.insert(insert, gathered, self._engine.new_mark(), part)
        except EngineError as error:
            return error
        gathered.clear()
        return None


def read_data(raw: Source, *, compress: bool) -> list[memoryview]:
    """Return the block of a Data packet in `FORMAT Native`, in pieces; none for one without rows."""
    raw.raw_string()  # the name of an external table
    source = wire.decompressed(raw) if compress else raw
    wire.skip_block_info(source)
    source.keep()
    rows = native.skip_block(source)
    block = source.kept()
    if compress and source.buffered:
        raise ProtocolError(UNEXPECTED_PACKET, "A compressed frame goes on after the end of its block")
    return block if rows else []


def _skip_client_info(source: Source) -> None:
    if source.number("B") == 0:
        return
    for _ in range(3):  # initial user, query id, address
        source.raw_string()
    source.skip(8)  # start time
    interface = source.number("B")
    _skip_interface(source, interface)
    source.raw_string()  # quota key
    source.varint()  # depth of a distributed query
    if interface == _TCP:
        source.varint()  # patch version
    if source.number("B"):  # OpenTelemetry context
        source.skip(24)
        source.raw_string()
        source.skip(1)
    for _ in range(3):  # parallel replicas
        source.varint()


def _skip_interface(source: Source, interface: int) -> None:
    """Read past what a client says of the way on which a question came to it at first."""
    if interface == _TCP:
        for _ in range(3):  # system user, host, client
            source.raw_string()
        for _ in range(3):  # version and revision
            source.varint()
    elif interface == _HTTP:
        source.skip(1)  # method
        for _ in range(3):  # user agent, forwarded for, referer
            source.raw_string()


def _read_settings(source: Source) -> dict[str, tuple[str, bool]]:
    settings: dict[str, tuple[str, bool]] = {}
    while name := source.string():
        important = bool(source.varint() & 1)
        settings[name] = (source.string(), important)
        if len(settings) > MAX_SETTINGS:
            raise ProtocolError(TOO_LARGE, f"More than {MAX_SETTINGS} settings")
    return settings


def read_query(source: Source) -> Query:
    """Read a Query packet and the empty block after it."""
    source.raw_string()  # query id: the engine gives its own
    _skip_client_info(source)
    settings = _read_settings(source)
    source.raw_string()  # the secret of a cluster's servers
    stage = source.varint()
    compress = bool(source.varint())
    text = source.string()
    kind = source.varint()
    for _ in range(MAX_SCALARS):
        if kind != _SCALAR:
            break
        read_data(source, compress=compress)
        kind = source.varint()
    if kind != _DATA:
        raise ProtocolError(UNEXPECTED_PACKET, f"Packet {kind} where the end of external tables was expected")
    if read_data(source, compress=compress):
        raise ProtocolError(NOT_IMPLEMENTED, "External tables are not supported")
    return Query(text, settings, compress, stage)


def read_tables(source: Source) -> list[tuple[str, str]]:
    """Read a TablesStatusRequest: the database and the name of each table."""
    count = source.varint()
    if count > MAX_TABLES:
        raise ProtocolError(TOO_LARGE, f"More than {MAX_TABLES} tables")
    return [(source.string(), source.string()) for _ in range(count)]
