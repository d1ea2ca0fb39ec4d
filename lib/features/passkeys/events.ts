import { factorEvents, type User } from '../../feature/index.js'
import type { Passkey } from './contracts.js'

declare module '../../contracts/events.js' {
  interface UsersEvents {
    /**
     * The signature counter of a passkey did not grow, so another device may have a copy of its key (WebAuthn Level 3,
     * section 6.1.1). `refused` is false with `whenCloned: 'report'`.
     */
    onPasskeyCloned: { user: User; passkey: Passkey; refused: boolean }
  }
}

/** Names of the events of the feature. */
export const passkeyEvents = ['onPasskeyCloned', ...factorEvents] as const
