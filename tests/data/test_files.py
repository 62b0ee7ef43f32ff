import dataclasses
import gzip
import hashlib
import http.server
import io
import os
import pathlib
import tarfile
import threading
import zipfile

import numpy as np
import pooch
import pytest

from nnstudy import data, errors
from nnstudy.data import files


@dataclasses.dataclass
class Server:
    """Answers `/<path>` with `files[<path>]`, and promises `length_error` bytes too many."""

    url: str
    files: dict[str, bytes]
    requests: list[str]
    length_error: int = 0


@pytest.fixture
def server(monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.lstrip('/')
            answer.requests.append(path)
            content = answer.files.get(path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header('Content-Length', str(len(content) + answer.length_error))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format, *args):
            pass

    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    with http.server.HTTPServer(('127.0.0.1', 0), Handler) as httpd:
        answer = Server(f'http://127.0.0.1:{httpd.server_port}/', {}, [])
        thread = threading.Thread(target=httpd.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield answer
        httpd.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> pathlib.Path:
    """An empty user's cache, which is used since no directory is named."""
    monkeypatch.delenv(files.ENVIRONMENT, raising=False)
    folder = tmp_path / 'cache'
    monkeypatch.setattr(pooch, 'os_cache', lambda project: folder / project)
    return folder / 'nnstudy'


def _gzipped(unpacked, prefix=''):
    return {f'{prefix}{name}.gz': gzip.compress(content) for name, content in unpacked.items()}


def test_mnist_is_downloaded_once(server, cache, replace, mnist_files, capsys):
    server.files = _gzipped(mnist_files)
    replace('mnist', mirrors=[(server.url,)] * 4)
    first = data.load('mnist')
    assert sorted(server.requests) == sorted(server.files)
    assert sorted(path.name for path in (cache / 'mnist').iterdir()) == sorted(server.files)
    out, err = capsys.readouterr()
    assert out == ''
    assert len(err.splitlines()) == 4
    assert err.splitlines()[0] == (
        f'nnstudy: downloading {server.url}train-images-idx3-ubyte.gz to {cache / "mnist"}'
    )
    assert data.load('mnist').fingerprint() == first.fingerprint()
    assert len(server.requests) == 4
    assert capsys.readouterr().err == ''


def test_cifar_is_downloaded(server, cache, replace, cifar_files):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode='w:gz') as tar:
        for name, content in cifar_files.items():
            member = tarfile.TarInfo(f'cifar-10-batches-bin/{name}')
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    server.files = {'cifar-10-binary.tar.gz': archive.getvalue()}
    replace('cifar10', mirrors=[(server.url,)])
    assert len(data.load('cifar10').splits['train'][0]) == 20
    assert [path.name for path in (cache / 'cifar10').iterdir()] == ['cifar-10-binary.tar.gz']


def test_sms_spam_is_downloaded(server, cache, replace, sms_spam_file):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w') as file:
        file.writestr('SMSSpamCollection', sms_spam_file)
    server.files = {'smsspamcollection.zip': archive.getvalue()}
    replace('sms_spam', mirrors=[(server.url,)])
    assert len(data.load('sms_spam').splits['train'][0]) == 4
    assert [path.name for path in (cache / 'sms_spam').iterdir()] == ['smsspamcollection.zip']


def test_boston_housing_is_downloaded(server, cache, replace):
    content = b'\n'.join(b' '.join(b'%d' % (i + j) for j in range(14)) for i in range(506))
    checksum = hashlib.sha256(content).hexdigest()
    server.files = {'bad/housing.data': content[:-1], 'good/housing.data': content}
    mirrors = f'{server.url}bad/', f'{server.url}good/'
    replace('boston_housing', sha256=[checksum], mirrors=[mirrors])
    housing = data.load('boston_housing')
    assert server.requests == ['bad/housing.data', 'good/housing.data']
    inputs, values = housing.splits['train']
    np.testing.assert_array_equal(values[:, 0], inputs[:, 0] + 13)
    assert [path.name for path in (cache / 'boston_housing').iterdir()] == ['housing.data']


def test_mirrors_are_tried_in_turn(server, cache, replace, mnist_files):
    server.files = _gzipped(mnist_files, 'second/')
    replace('mnist', mirrors=[(f'{server.url}first/', f'{server.url}second/')] * 4)
    data.load('mnist')
    assert server.requests[:2] == [
        'first/train-images-idx3-ubyte.gz',
        'second/train-images-idx3-ubyte.gz',
    ]


def test_a_mirror_with_other_content_is_passed_over(server, cache, replace, mnist_files):
    content = mnist_files['train-images-idx3-ubyte']
    damaged = {**mnist_files, 'train-images-idx3-ubyte': content[:-1] + b'\0'}
    server.files = {**_gzipped(damaged, 'first/'), **_gzipped(mnist_files, 'second/')}
    replace('mnist', mirrors=[(f'{server.url}first/', f'{server.url}second/')] * 4)
    data.load('mnist')
    assert server.requests[:2] == [
        'first/train-images-idx3-ubyte.gz',
        'second/train-images-idx3-ubyte.gz',
    ]


def _assert_fails(message, cache, name='mnist'):
    with pytest.raises(errors.UserError, match=message) as raised:
        data.load(name)
    text = str(raised.value)
    assert text.startswith('cannot download train-images-idx3-ubyte.gz of mnist: tried http')
    assert text.endswith('give data_dir=<directory> or set NNSTUDY_DATA_DIR')
    assert '\n' not in text and str(cache) not in text
    assert not list((cache / 'mnist').iterdir())


def test_not_found(server, cache, replace):
    replace(
        'mnist',
        mirrors=[
            (
                f'{server.url}a/',
                f'{server.url}b/',
            )
        ]
        * 4,
    )
    _assert_fails(r'a/train-\S+ \(Not Found\), http\S+/b/train-\S+ \(Not Found\); if you', cache)


def test_connection_lost(server, cache, replace, mnist_files):
    server.files = _gzipped(mnist_files)
    server.length_error = 5
    replace('mnist', mirrors=[(server.url,)] * 4)
    _assert_fails(r'\((ChunkedEncodingError|ConnectionError)\)', cache)


def test_truncated_on_the_server(server, cache, replace, mnist_files):
    packed = _gzipped(mnist_files)
    server.files = {name: content[:-20] for name, content in packed.items()}
    replace('mnist', mirrors=[(server.url,)] * 4)
    _assert_fails(r'\(truncated or damaged', cache)


def test_checksum(server, cache, replace, mnist_files):
    content = mnist_files['train-images-idx3-ubyte']
    server.files = _gzipped({'train-images-idx3-ubyte': content[:-1] + b'\0'})
    replace('mnist', mirrors=[(server.url,)] * 4)
    _assert_fails(r'\(not the published data: expected content of sha256', cache)


def test_no_server(server, cache, replace):
    # Port 9 is of the discard service, which no machine has run for decades.
    replace('mnist', mirrors=[('http://127.0.0.1:9/',)] * 4)
    _assert_fails(r'\(ConnectionError\)', cache)


def test_interrupted(server, cache, monkeypatch, mnist_files):
    def interrupt(self, url, output_file, pooch_object):
        pathlib.Path(output_file).write_bytes(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, '__call__', interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load('mnist')
    assert not list((cache / 'mnist').iterdir())


def test_cache_that_cannot_be_written(server, cache, monkeypatch):
    cache.parent.mkdir()
    cache.write_text('a file where the folder should be')
    with pytest.raises(errors.UserError, match=r'cannot write .*ubyte\.gz'):
        data.load('mnist')


def test_damaged_cache_is_named(cache, mnist_files):
    _data_dir(cache, mnist_files)
    path = cache / 'mnist' / 'train-images-idx3-ubyte.gz'
    path.write_bytes(gzip.compress(mnist_files['train-images-idx3-ubyte'][:-1]))
    with pytest.raises(errors.UserError, match=f'{path}: not the published data'):
        data.load('mnist')


def _data_dir(folder, files):
    (folder / 'mnist').mkdir(parents=True)
    for name, content in _gzipped(files).items():
        (folder / 'mnist' / name).write_bytes(content)
    return folder


def test_environment(tmp_path, server, cache, monkeypatch, mnist_files):
    monkeypatch.setenv(files.ENVIRONMENT, str(_data_dir(tmp_path / 'named', mnist_files)))
    assert len(data.load('mnist').splits['train'][0]) == 5
    assert not server.requests and not cache.exists()


def test_argument_goes_before_environment(tmp_path, cache, monkeypatch, mnist_files):
    monkeypatch.setenv(files.ENVIRONMENT, str(tmp_path / 'absent'))
    named = data.load('mnist', _data_dir(tmp_path / 'named', mnist_files))
    assert len(named.splits['train'][0]) == 5


def test_home_is_expanded(tmp_path, monkeypatch, mnist_files):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    _data_dir(tmp_path / 'named', mnist_files)
    assert data.load('mnist', os.path.join('~', 'named')).name == 'mnist'


@pytest.mark.parametrize('by_environment', [True, False])
def test_a_named_directory_is_never_filled(
    tmp_path, server, cache, monkeypatch, mnist_files, by_environment, replace
):
    server.files = _gzipped(mnist_files)
    replace('mnist', mirrors=[(server.url,)] * 4)
    folder = tmp_path / 'named'
    folder.mkdir()
    source = 'data_dir'
    if by_environment:
        source = files.ENVIRONMENT
        monkeypatch.setenv(source, str(folder))
    expected = f'{source} {str(folder)!r} has no mnist/train-images-idx3-ubyte.gz'
    with pytest.raises(errors.UserError) as raised:
        data.load('mnist', None if by_environment else folder)
    assert str(raised.value).startswith(expected)
    assert not server.requests and not list(folder.iterdir())
    folder.rmdir()
    with pytest.raises(errors.UserError, match=f'{source} .* is not a directory'):
        data.load('mnist', None if by_environment else folder)
