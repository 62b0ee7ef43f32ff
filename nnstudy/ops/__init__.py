"""Operations for models whose derivatives are as fast inside a `lax.scan` as outside."""

from nnstudy.ops.convolution import Conv, conv
from nnstudy.ops.dropout import dropout
from nnstudy.ops.pooling import avg_pool, global_avg_pool, global_max_pool, max_pool
from nnstudy.ops.shuffle import Shuffle
