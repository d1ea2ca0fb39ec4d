/** True when two types are the same, and not only assignable to each other. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** Compiles only for `true`: `same<Equal<A, B>>()`. The code is never run. */
export declare function same<T extends true> (): T
