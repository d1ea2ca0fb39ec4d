/** The cost of password hashes of all contenders: the defaults of this package, argon2id. */
export const COST = { algorithm: 2, memoryCost: 19456, timeCost: 2, parallelism: 1 }

/** A string with the length of such a hash, for users who never log in. */
export const FILLER_HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'c'.repeat(22)}$${'h'.repeat(43)}`
