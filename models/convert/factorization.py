"""A recommender as a graph: a user's id → the ids of the items to show, and the ratings expected of them.

What a user has seen lies in the graph as a row of bytes, one an item; those items are left out by a
rating that no item can have. An id that nobody has is answered as a user without factors.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.convert.scores import Outputs, Tensor, constant
from models.convert.tflite import ConversionError, Graph
from models.families.factorization import Recommender

LAST_ID = 1_000_000  # ids are looked up in a table with a place for each
EXCLUDED = np.float32(1e9)


def graph(model: Recommender) -> Graph:
    """Take "user" int32 [n], give "items" int32 [n, best] and "ratings" float32 [n, best], best first."""
    largest = int(max(model.user_ids.max(), model.item_ids.max()))
    if largest > LAST_ID or model.user_ids.min() < 0:
        raise ConversionError(
            f"the ids of users and items go up to {largest:,}; {LAST_ID:,} is the most. Number them anew"
        )
    count = len(model.user_ids)
    # Number `count` is the user that nobody is.
    number_of = np.full(int(model.user_ids.max()) + 2, count)
    number_of[model.user_ids] = np.arange(count)
    users = np.vstack([model.factors.users, np.zeros((1, model.factors.users.shape[1]))])
    seen = np.zeros((count + 1, len(model.item_ids)))
    for number, rated in enumerate(model.seen):
        seen[number, rated] = 1
    table, own = constant(number_of, np.int32), constant(users[:, :-1])
    start = constant(model.factors.mean + users[:, -1:])
    others, biases = constant(model.factors.items[:, :-1].T), constant(model.factors.items[:, -1])
    seen_by, ids = constant(seen, np.int8), constant(model.item_ids, np.int32)
    last = np.int32(len(number_of) - 1)

    def recommend(user: Tensor) -> Outputs:
        known = tf.logical_and(user >= 0, user < last)
        number = tf.gather(table, tf.where(known, user, last))
        ratings = tf.matmul(tf.gather(own, number), others) + biases + tf.gather(start, number)
        left_out = EXCLUDED * tf.cast(tf.gather(seen_by, number), tf.float32)
        values, which = tf.math.top_k(ratings - left_out, model.best)
        # LiteRT sizes what TOPK_V2 gives while it runs, which an output must not be; a RESHAPE's is known.
        shape = [-1, model.best]
        return {"items": tf.gather(ids, tf.reshape(which, shape)), "ratings": tf.reshape(values, shape)}

    traced = tf.function(recommend, autograph=False).get_concrete_function(
        user=tf.TensorSpec([None], tf.int32, name="user")
    )
    return Graph(tf.Module(), {"predict": traced}, ())


def versions() -> dict[str, str]:
    """NumPy and TensorFlow."""
    return {"framework": "numpy", "numpy": np.__version__, "tensorflow": tf.__version__}
