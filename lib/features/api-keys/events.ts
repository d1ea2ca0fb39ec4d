import type { User } from '../../feature/index.js'
import type { ApiKey } from './contracts.js'

declare module '../../contracts/events.js' {
  interface UsersEvents {
    /** After a user or a superuser created a key through a route. The key is without its secret. */
    onAfterCreateApiKey: { user: User; apiKey: ApiKey }
    /** After a user or a superuser revoked a key through a route. */
    onAfterRevokeApiKey: { user: User; id: string }
  }
}

/** Names of the events of the feature. `user` is the acting user. */
export const apiKeyEvents = ['onAfterCreateApiKey', 'onAfterRevokeApiKey'] as const
