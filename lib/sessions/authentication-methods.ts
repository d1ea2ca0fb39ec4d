/** Kinds of factors that login methods prove (NIST SP 800-63B-4, section 2.2). */
export type FactorKind = 'knowledge' | 'possession' | 'verification'

/** The kinds of the methods that the core knows. All others, such as those of providers and mails, are `knowledge`. */
const KINDS: ReadonlyMap<string, readonly FactorKind[]> = new Map([
  ['otp', ['possession']],
  ['recovery-code', ['possession']],
  ['passkey-presence', ['possession']],
  // the device has checked its PIN or a biometric characteristic
  ['passkey', ['possession', 'verification']]
])

/**
 * Returns the different kinds of factors that methods prove. A password, a mailbox and a provider account count as one
 * kind, also together: the mailbox resets the password. `possession` lists further methods that prove a second factor.
 */
export function factorKindsOf (
  methods: readonly string[],
  possession: ReadonlySet<string> = new Set()
): Set<FactorKind> {
  return new Set(
    methods.flatMap((method): readonly FactorKind[] =>
      KINDS.get(method) ?? [possession.has(method) ? 'possession' : 'knowledge'])
  )
}

/** The registered values (RFC 8176, section 2; IANA registry "Authentication Method Reference Values"). */
const REGISTERED: ReadonlySet<string> = new Set([
  'face', 'fpt', 'geo', 'hwk', 'iris', 'kba', 'mca', 'mfa', 'otp', 'pin', 'pop', 'pwd', 'rba', 'retina', 'sc', 'sms',
  'swk', 'tel', 'user', 'vbm', 'wia'
])

/** The registered values of the methods whose names are not registered. */
const AMR: ReadonlyMap<string, readonly string[]> = new Map([
  ['password', ['pwd']],
  ['recovery-code', ['otp']],
  // the key may be synchronized between devices, so it counts as secured by software
  ['passkey-presence', ['swk', 'user']],
  ['passkey', ['swk', 'user']]
])

/**
 * Returns the Authentication Method Reference values of a session (RFC 8176) for the claim `amr`, for example
 * `['pwd', 'otp', 'mfa']`. Methods without a registered value, such as providers, are left out. `mfa` is added if the
 * methods prove two kinds of factors.
 */
export function amrOf (methods: readonly string[]): string[] {
  const values = methods.flatMap((method) => AMR.get(method) ?? (REGISTERED.has(method) ? [method] : []))
  return [...new Set([...values, ...(factorKindsOf(methods).size > 1 ? ['mfa'] : [])])]
}
