// The name of this run: what it makes in the mesh begins with it, and belongs to it alone.
export const newRunName = () => `k6-${Date.now().toString(36)}`;

/** A number from 0 to below a bound. */
export const below = (bound) => Math.floor(Math.random() * bound);
