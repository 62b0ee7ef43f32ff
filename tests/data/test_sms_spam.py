import io
import zipfile

import numpy as np
import pytest

from nnstudy import data, errors


def _zipped(**members: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()


def test_published(data_dir):
    spam = data.load('sms_spam', data_dir)
    assert spam.is_text and spam.class_names == ('ham', 'spam')
    assert {split: len(x) for split, (x, _) in spam.splits.items()} == {'train': 4459, 'test': 1115}
    labels = np.concatenate([y for _, y in spam.splits.values()])
    assert np.bincount(labels).tolist() == [4827, 747]  # as the set's own readme says
    texts = {text: label for x, y in spam.splits.values() for text, label in zip(x, y, strict=True)}
    assert texts['Ok lar... Joking wif u oni...'] == 0
    assert (
        texts[
            'Free entry in 2 a wkly comp to win FA Cup final tkts 21st May 2005. Text FA to '
            "87121 to receive entry question(std txt rate)T&C's apply 08452810075over18's"
        ]
        == 1
    )
    # Messages with a quotation mark, or a character that Python takes for the end of a line, are
    # whole, and messages that are there twice are kept.
    assert len(texts) == 5171 and len(labels) == 5574
    # Neither split has more spam than chance allows.
    shares = [y.mean() for _, y in spam.splits.values()]
    np.testing.assert_allclose(shares, 747 / 5574, atol=0.015)


@pytest.mark.parametrize('pack', ['zip', 'plain'])
def test_small(tmp_path, sms_spam_file, pack):
    if pack == 'zip':
        content = _zipped(readme=b'about', SMSSpamCollection=sms_spam_file)
        (tmp_path / 'smsspamcollection.zip').write_bytes(content)
    else:
        (tmp_path / 'SMSSpamCollection').write_bytes(sms_spam_file)
    splits = data.load('sms_spam', tmp_path).splits
    texts = {text: label for x, y in splits.values() for text, label in zip(x, y, strict=True)}
    assert texts == {
        'Olá\u2028"you': 0,
        'WIN\tnow': 1,
        'ok': 0,
        '': 0,
        'free £1': 1,
    }


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda content: content[:-1], 'not the published data'),
        (lambda content: b'', 'not the published data'),
    ],
)
def test_damaged_file(tmp_path, sms_spam_file, damage, message):
    path = tmp_path / 'SMSSpamCollection'
    path.write_bytes(damage(sms_spam_file))
    with pytest.raises(errors.UserError, match=message) as raised:
        data.load('sms_spam', tmp_path)
    assert str(raised.value).startswith(f'{path}: ')


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda content: _zipped(readme=content), 'has no SMSSpamCollection'),
        (lambda content: _zipped(SMSSpamCollection=content + b'x'), 'not the published data'),
        (lambda content: _zipped(SMSSpamCollection=b'x' + content[1:]), 'not the published data'),
        (lambda content: _zipped(SMSSpamCollection=content)[:-30], 'truncated or damaged'),
        (lambda content: b'<html>404</html>', 'truncated or damaged'),
        (lambda content: b'', 'truncated or damaged'),
    ],
)
def test_damaged_archive(tmp_path, sms_spam_file, make, message):
    path = tmp_path / 'smsspamcollection.zip'
    path.write_bytes(make(sms_spam_file))
    with pytest.raises(errors.UserError, match=message) as raised:
        data.load('sms_spam', tmp_path)
    assert str(raised.value).startswith(f'{path}: ')
    assert '\n' not in str(raised.value)


def test_damaged_member(tmp_path, sms_spam_file):
    """A bit that is wrong in the compressed content itself."""
    content = bytearray(_zipped(SMSSpamCollection=sms_spam_file))
    content[60] ^= 0xFF
    (tmp_path / 'smsspamcollection.zip').write_bytes(content)
    with pytest.raises(errors.UserError, match='truncated or damaged'):
        data.load('sms_spam', tmp_path)
