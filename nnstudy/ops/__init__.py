"""Operations for models whose derivatives are as fast inside a `lax.scan` as outside."""

from nnstudy.ops.convolution import Conv as Conv
from nnstudy.ops.convolution import conv as conv
from nnstudy.ops.dropout import dropout as dropout
from nnstudy.ops.pooling import avg_pool as avg_pool
from nnstudy.ops.pooling import global_avg_pool as global_avg_pool
from nnstudy.ops.pooling import global_max_pool as global_max_pool
from nnstudy.ops.pooling import max_pool as max_pool
