import { randomBytes } from 'node:crypto'
import type { SecurityProfile } from '../../contracts/security-profile.js'
import { formatTime, longestOf, timeAfter, type Lifetime, type RotationPlan } from './rotation-plan.js'

const SECRET_BYTES = 48
const NAMES: Readonly<Record<string, string>> = {
  stamp: 'sessions of users without a stored security stamp',
  fingerprint: 'the part of reset and verify tokens that names the state of the user',
  reset: 'reset tokens',
  verify: 'verify tokens'
}

/** Creates a secret and plans how it replaces the present one. `switched` is the time when it signs everywhere. */
export function planSecret ({ secrets }: SecurityProfile, switched: Date): RotationPlan {
  const lifetimes = secrets.uses
    .filter(({ lifetimeSeconds }) => lifetimeSeconds !== 0)
    .map(({ purpose, lifetimeSeconds }): Lifetime => ({ about: purposeNameOf(purpose), seconds: lifetimeSeconds }))
  const present = Array.from({ length: secrets.count }, (_, i) => (secrets.count === 1 ? 'PRESENT' : `PRESENT_${i + 1}`))
  const list = (...names: string[]): string => `secret: [${names.join(', ')}]`
  return {
    created: [{ name: 'A new secret, NEW below', value: randomBytes(SECRET_BYTES).toString('base64url') }],
    steps: [
      { text: 'Accept tokens of the new secret', option: list(...present, 'NEW'), notBefore: null },
      { text: 'Sign with the new secret', option: list('NEW', ...present), notBefore: null },
      {
        text: 'Remove the present secret',
        option: list('NEW'),
        notBefore: timeAfter(switched, longestOf(lifetimes))
      }
    ],
    lifetimes,
    notes: [
      `The last step counts from the end of step 2, which is ${formatTime(switched)} here. --at TIME sets another time.`,
      ...(secrets.count === 1
        ? []
        : [`The config lists ${secrets.count} secrets. Remove the older ones first if their time has passed.`])
    ]
  }
}

function purposeNameOf (purpose: string): string {
  const [kind, name] = purpose.split(':')
  if (kind === 'backend' && name !== undefined) return `tokens of the backend "${name}"`
  return NAMES[purpose] ?? `tokens for the purpose "${purpose}"`
}
