/** What a method of a login proves (NIST SP 800-63B-4, section 2.2). */
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
export function kindsOf (methods: readonly string[], possession: ReadonlySet<string> = new Set()): Set<FactorKind> {
  return new Set(
    methods.flatMap((method): readonly FactorKind[] =>
      KINDS.get(method) ?? [possession.has(method) ? 'possession' : 'knowledge'])
  )
}
