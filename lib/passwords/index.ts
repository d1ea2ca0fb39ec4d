export type { Argon2Options } from './argon2-cost.js'
export { createArgon2Hasher, type Argon2Hasher } from './argon2-hasher.js'
export { createBcryptVerifier } from './bcrypt-verifier.js'
export { nativeHashEngine, type Argon2Cost, type HashEngine } from './hash-engine.js'
export { createHashQueue, type HashQueue, type HashQueueOptions } from './hash-queue.js'
export { createUnusableHash, isUnusableHash } from './unusable-hash.js'
export { argon2Passwords, createPasswordHelper, type Argon2PasswordsOptions } from './password-helper.js'
export {
  passwordPolicy,
  preparePassword,
  type PasswordPolicy,
  type PasswordPolicyOptions,
  type PreparePasswordOptions
} from './password-policy.js'
export type { StoredArgon2Format, StoredBcryptFormat, StoredFormat } from './stored-formats.js'
