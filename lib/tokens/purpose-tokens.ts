import type { FastifyInstance } from 'fastify'
import type { PurposeKey } from '../contracts/definition.js'
import type { Settings, TokenSettings } from '../contracts/settings.js'
import packages from '../packages.cjs'
import { createJwtCodec, type JwtCodec } from './jwt-codec.js'
import { checkJwtKey } from './jwt-keys.js'
import type { Keyring } from './keyring.js'

/** Codecs of the signed tokens that are sent by mail. Each has its own key and audience. */
export interface PurposeTokens {
  /** Codec of reset tokens, which carry `password_fgpt`. */
  readonly reset: JwtCodec
  /** Codec of verify tokens, which carry `email`, and for a new e-mail also `new_email` and `fgpt`. */
  readonly verify: JwtCodec
}

interface PurposeTokensOptions {
  settings: Settings
  keysFor: Keyring['keysFor']
  receive(tokens: PurposeTokens): void
}

async function purposeTokens (
  scope: FastifyInstance,
  { settings, keysFor, receive }: PurposeTokensOptions
): Promise<void> {
  const codec = (purpose: 'reset' | 'verify', required: readonly string[]): Promise<JwtCodec> => {
    const { secret, lifetimeSeconds, audience } = settings.tokens[purpose]
    return createJwtCodec(scope, {
      keys: purposeKeysOf(purpose, secret, (name) => keysFor(name, lifetimeSeconds)),
      audience,
      lifetimeSeconds,
      clock: settings.clock,
      issuedAt: settings.wire.signedTokens.issuedAt,
      strict: settings.wire.signedTokens.requireStamp,
      required
    })
  }
  receive({ reset: await codec('reset', ['password_fgpt']), verify: await codec('verify', ['email']) })
}

function purposeKeysOf (
  purpose: string,
  secret: TokenSettings['secret'],
  keysFor: (purpose: string) => readonly PurposeKey[]
): ReturnType<typeof checkJwtKey>[] {
  const keys: readonly PurposeKey[] = secret === null ? keysFor(purpose) : [{ secret: secret() }]
  return keys.map((key) => checkJwtKey(`tokens.${purpose}.secret`, key))
}

export default packages.fp(purposeTokens, { name: 'fastify-users:tokens', fastify: '5.x', encapsulate: true })
