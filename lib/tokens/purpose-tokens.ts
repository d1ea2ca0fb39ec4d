import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { PurposeKey } from '../contracts/definition.js'
import type { Settings, TokenSettings } from '../contracts/settings.js'
import { createJwtCodec, type JwtCodec } from './jwt-codec.js'
import { checkJwtKey } from './jwt-keys.js'

/** The signed tokens that are not sessions, each with its own key and audience. */
export interface PurposeTokens {
  /** Carries `password_fgpt`. */
  readonly reset: JwtCodec
  /** Carries `email`, and `new_email` and `fgpt` when it proves a new address. */
  readonly verify: JwtCodec
}

interface PurposeTokensOptions {
  settings: Settings
  keysFor(purpose: string): readonly PurposeKey[]
  receive(tokens: PurposeTokens): void
}

async function purposeTokens (
  scope: FastifyInstance,
  { settings, keysFor, receive }: PurposeTokensOptions
): Promise<void> {
  const codec = (purpose: 'reset' | 'verify', required: readonly string[]): Promise<JwtCodec> => {
    const { secret, lifetimeSeconds, audience } = settings.tokens[purpose]
    return createJwtCodec(scope, {
      keys: keysOf(purpose, secret, keysFor),
      audience,
      lifetimeSeconds,
      clock: settings.clock,
      issuedAt: settings.issuedAt,
      strict: settings.requireStamp,
      required
    })
  }
  receive({ reset: await codec('reset', ['password_fgpt']), verify: await codec('verify', ['email']) })
}

function keysOf (
  purpose: string,
  secret: TokenSettings['secret'],
  keysFor: PurposeTokensOptions['keysFor']
): ReturnType<typeof checkJwtKey>[] {
  const keys: readonly PurposeKey[] = secret === null ? keysFor(purpose) : [{ secret: secret() }]
  return keys.map((key) => checkJwtKey(`tokens.${purpose}.secret`, key))
}

export default fp(purposeTokens, { name: 'fastify-users:tokens', fastify: '5.x', encapsulate: true })
