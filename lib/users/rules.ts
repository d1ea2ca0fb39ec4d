import type { FastifyBaseLogger } from 'fastify'
import type { ExportSource } from '../contracts/account-export.js'
import type { MaybePromise } from '../contracts/database-adapter.js'
import type { Reactivation } from '../contracts/feature.js'
import type { LoginMethods } from '../contracts/login-methods.js'
import type { SecondFactor } from '../contracts/second-factors.js'
import type { SessionObserver } from '../contracts/session-service.js'
import type { SingleUse } from '../contracts/single-use.js'
import type { User } from '../contracts/user.js'
import type { Background } from '../hooks/index.js'
import type { RegisteredStep, SessionRules } from '../sessions/index.js'
import type { PurposeTokens } from '../tokens/index.js'
import type { EmailChangeUndo } from './email-change-undo.js'
import type { MailedRegistration } from './registration-by-mail.js'
import type { UserRows } from './user-rows.js'
import type { UserCheck } from './validation.js'

/** The shared objects of one registration of the plugin. */
export interface Rules extends SessionRules {
  readonly loginSteps: RegisteredStep[]
  readonly secondFactors: SecondFactor[]
  readonly rows: UserRows
  readonly observers: SessionObserver[]
  readonly check: UserCheck
  readonly background: Background
  /** Logger of the application. */
  readonly log: FastifyBaseLogger
  readonly tokens: PurposeTokens
  /** Keys of the fingerprints in mailed tokens: the first creates, all check. */
  readonly fingerprintKeys: readonly [string, ...string[]]
  /** Tokens that complete registrations by mail; null if users register with a password. */
  readonly registrations: SingleUse<MailedRegistration> | null
  /** Tokens that undo e-mail changes; null if there are none. */
  readonly undoTokens: SingleUse<EmailChangeUndo> | null
  /** Login methods that features store for users, such as provider accounts. */
  readonly loginMethods: LoginMethods[]
  /** Properties that features add to users in replies, by name in the read schema. */
  readonly additions: Map<string, (user: User) => Promise<unknown>>
  /** Functions of features that return what they store about a user, by the name of the feature. */
  readonly exports: Map<string, ExportSource>
  /** Functions of features that activate users whom they had deactivated. */
  readonly reactivations: Reactivation[]
  /** Functions of features that are called when the deletion of a user begins. */
  readonly beginDeletion: ((user: User) => MaybePromise<void>)[]
  /** The functions of started features for application code, by the name of the feature. */
  readonly features: ReadonlyMap<string, unknown>
}
