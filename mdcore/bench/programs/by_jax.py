"""What an expert writes in JAX: the cells of one potential and depth in a batch, jit, fori_loop, float64, one thread.

Run by an interpreter that has JAX, which mdcore has not: `python by_jax.py WORKLOAD.npz`. Each line of standard
input asks for a number of steps of every batch; each line of standard output is the CPU seconds that they took. The
layers at the end of the input go to WORKLOAD.end.npz.
"""

import os
import sys
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def batch(A, p, eta, decay):
    """(state, first step, steps) -> state after normalised l_p steps; a state is [W_l], [Z_l], each (K, out, in)."""
    q = p / (p - 1.0)

    def risk(W):
        v = W[-1]
        for layer in W[-2::-1]:
            v = v @ layer  # (K, 1, in)
        return jax.nn.softplus(-(v[:, 0] @ A.T)).mean(axis=1).sum()

    def step(t, state):
        W, Z = state
        G = jax.grad(risk)(W)
        norm = sum((jnp.abs(g) ** q).sum(axis=(1, 2), keepdims=True) for g in G) ** (1.0 / q)
        Z = [z - eta * t ** (decay - 1.0) / norm * g for z, g in zip(Z, G)]
        return [z if p == 2 else jnp.sign(z) * jnp.abs(z) ** (1.0 / (p - 1.0)) for z in Z], Z

    return jax.jit(lambda state, first, steps: jax.lax.fori_loop(first, first + steps, step, state))


def main(path):
    given = np.load(path)
    A, (eta, decay) = jnp.asarray(given["A"]), given["rule"]
    batches = []
    for number, p in enumerate(given["p"]):
        names = sorted(name for name in given.files if name.startswith(f"W{number}_"))
        W = [jnp.asarray(given[name]) for name in names]
        Z = [jnp.sign(w) * jnp.abs(w) ** (p - 1.0) for w in W]
        batches.append([batch(A, float(p), float(eta), float(decay)), (W, Z)])
    done = 0
    for line in sys.stdin:
        steps, start = int(line), time.process_time()
        for one in batches:
            one[1] = jax.block_until_ready(one[0](one[1], done + 1, steps))
        done += steps
        print(time.process_time() - start, flush=True)
    ends = {f"W{i}_{j:02d}": np.asarray(w) for i, (_, (W, _)) in enumerate(batches) for j, w in enumerate(W)}
    np.savez(path.removesuffix(".npz") + ".end.npz", **ends)  # type: ignore[arg-type]  # numpy's stub takes no names here


if __name__ == "__main__":
    main(sys.argv[1])
