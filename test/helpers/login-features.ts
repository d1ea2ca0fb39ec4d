import { hash, randomBytes, randomInt } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { defineErrors } from '../../lib/feature/index.js'
import type { Feature, LoginStep, Model, UserRow } from '../../lib/index.js'

const codeErrors = defineErrors({
  CODE_WRONG: { statusCode: 400, message: 'The code is wrong. Try again.' }
})

const enrolled: Model = {
  name: 'enrolled',
  table: 'enrolled',
  fields: { user_id: { type: 'text', maxLength: 64 } }
}
const recoveryCode: Model = {
  name: 'recovery_code',
  table: 'recovery_code',
  fields: { id: { type: 'text', maxLength: 43 }, user_id: { type: 'text', maxLength: 64 } }
}

/** Functions of the feature `codes`. */
export interface Codes {
  /** Makes the user need a second factor, and returns a recovery code. */
  enrol(user: { id: unknown }): Promise<string>
  /** Makes logins of the user work without a second factor again. */
  withdraw(user: { id: unknown }): Promise<void>
  /** The codes that were sent so far, the newest last. */
  readonly sent: string[]
}

const digest = (text: string): string => hash('sha256', text, 'base64url')
const CodeBody = Type.Object({ code: Type.String({ minLength: 1, maxLength: 64 }) })

/** A second factor: a code that is sent at each login, or one of the recovery codes of the user. */
export function codes (changes: Partial<LoginStep<typeof CodeBody>> = {}): Feature<Codes> {
  return {
    name: 'codes',
    models: () => [enrolled, recoveryCode],
    errors: codeErrors.definitions,
    loginSteps: ['code', 'recovery'],
    setup ({ store }) {
      const sent: string[] = []
      const isEnrolled = async ({ id }: UserRow): Promise<boolean> =>
        (await store.findOne(enrolled, { user_id: String(id) })) !== null
      const code: LoginStep<typeof CodeBody> = {
        name: 'code',
        group: 'second-factor',
        needed: ({ user }) => isEnrolled(user),
        challenge ({ user }) {
          const code = String(randomInt(1_000_000)).padStart(6, '0')
          sent.push(code)
          return { send: { sent_to: `${user.email[0]}…` }, keep: { digest: digest(code) } }
        },
        body: CodeBody,
        errors: ['CODE_WRONG'],
        verify (_attempt, { code }, kept) {
          if (digest(code) !== (kept as { digest: string }).digest) throw codeErrors.FST_USERS_CODE_WRONG()
          return { methods: ['otp'] }
        },
        ...changes
      }
      const recovery: LoginStep<typeof CodeBody> = {
        name: 'recovery',
        group: 'second-factor',
        needed: ({ user }) => isEnrolled(user),
        body: CodeBody,
        errors: ['CODE_WRONG'],
        async verify ({ user }, { code }) {
          const used = await store.delete(recoveryCode, { id: digest(code), user_id: String(user.id) })
          if (used !== 1) throw codeErrors.FST_USERS_CODE_WRONG()
        }
      }
      return {
        loginSteps: [code, recovery],
        api: {
          sent,
          async enrol ({ id }) {
            const code = randomBytes(16).toString('base64url')
            await store.create(enrolled, { user_id: String(id) })
            await store.create(recoveryCode, { id: digest(code), user_id: String(id) })
            return code
          },
          async withdraw ({ id }) {
            await store.delete(enrolled, { user_id: String(id) })
          }
        }
      }
    }
  }
}

const accepted: Model = {
  name: 'accepted',
  table: 'accepted',
  fields: { user_id: { type: 'text', maxLength: 64 }, version: { type: 'integer' } }
}
const TermsBody = Type.Object({ version: Type.Integer(), note: Type.Optional(Type.String()) })

/** Terms that every user must accept once before the first session. */
export function terms (): Feature {
  return {
    name: 'terms',
    models: () => [accepted],
    loginSteps: ['terms'],
    setup ({ store }) {
      const step: LoginStep<typeof TermsBody> = {
        name: 'terms',
        needed: async ({ user }) => (await store.findOne(accepted, { user_id: String(user.id) })) === null,
        challenge: () => ({ send: { version: 7, name: 'a step cannot rename itself' } }),
        body: TermsBody,
        lifetimeSeconds: 600,
        async verify ({ user }, { version }) {
          await store.create(accepted, { user_id: String(user.id), version })
          return { methods: [] }
        }
      }
      return { loginSteps: [step] }
    }
  }
}
