import type { FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { defineFeature, factorEvents, type FeatureKit } from '../../lib/feature/index.js'
import type { EventContext, EventName, Mail, MailKind, MailOptions, User, UsersEvents, UsersOptions } from '../../lib/index.js'
import { accountEvents } from '../../lib/features/account/events.js'
import { ARTHUR, buildApp, type TestApp } from './build-app.js'

export const PUBLIC_URL = 'https://app.camelot.example/court'
export const LANCELOT = 'lancelot@camelot.bt'

/** A token in a link. */
export const TOKEN = 'sample.token-1_2'

export interface MailApp extends TestApp {
  /** The mails so far, in order. */
  mails: Mail[]
  /** Waits for mails in flight and returns the newest mail of this kind. */
  mailOf(kind: MailKind): Promise<Mail>
  /** Fires an event as a feature does, and waits for the mails. */
  fire<N extends EventName>(name: N, payload: UsersEvents[N], context?: EventContext): Promise<void>
}

export const NO_REQUEST: EventContext = { request: null, reply: null }

/** Creates an application whose mails are collected. */
export async function buildMailApp (
  t: Test,
  mail: Partial<MailOptions> = {},
  options: Partial<UsersOptions> = {},
  server: FastifyServerOptions = {}
): Promise<MailApp> {
  const mails: Mail[] = []
  let kit: FeatureKit | undefined
  const feature = defineFeature({
    name: 'factors',
    events: [
      ...factorEvents,
      ...accountEvents,
      'onAfterRequestEmailLogin',
      'onAfterUseRecoveryCode',
      'onAfterCreateRecoveryCodes'
    ],
    setup (given) {
      kit = given
      return {}
    }
  })
  const built = await buildApp(
    t,
    {
      publicUrl: PUBLIC_URL,
      features: [feature],
      mail: {
        from: 'Camelot <no-reply@camelot.example>',
        service: 'Camelot',
        send: async (sent) => {
          mails.push(sent)
        },
        ...mail
      },
      ...options
    },
    undefined,
    server
  )
  return {
    ...built,
    mails,
    async mailOf (kind) {
      await built.app.users.settled()
      const mail = mails.findLast((sent) => sent.kind === kind)
      if (mail === undefined) throw new Error(`no ${kind} among ${mails.map((sent) => sent.kind).join(', ')}`)
      return mail
    },
    async fire (name, payload, context = NO_REQUEST) {
      await kit?.fire(name, payload, context)
      await built.app.users.settled()
    }
  }
}

export const user = {
  id: '0b6a4c1e-1d5b-4d52-9b7e-2f6f6e0c9a11',
  email: ARTHUR,
  is_active: true,
  is_superuser: false,
  is_verified: true
} as User

type Sample = { [N in EventName]: { event: N; payload: UsersEvents[N]; to: string; page: string | null } }[EventName]

/** For each kind of mail an event that causes it, the recipient, and the end of its link. */
export const samples: Record<MailKind, Sample> = {
  verify: { event: 'onAfterRequestVerify', payload: { user, email: ARTHUR, token: TOKEN }, to: ARTHUR, page: `/verify#${TOKEN}` },
  register: { event: 'onAfterRequestRegister', payload: { email: LANCELOT, token: TOKEN }, to: LANCELOT, page: `/register#${TOKEN}` },
  emailChange: { event: 'onAfterRequestVerify', payload: { user, email: LANCELOT, token: TOKEN }, to: LANCELOT, page: `/verify#${TOKEN}` },
  emailChangeRequested: { event: 'onAfterRequestEmailChange', payload: { user, newEmail: LANCELOT }, to: ARTHUR, page: '/forgot-password' },
  emailChanged: {
    event: 'onAfterEmailChange',
    payload: { user, previousEmail: LANCELOT, token: TOKEN },
    to: LANCELOT,
    page: `/undo-email-change#${TOKEN}`
  },
  emailChangeUndone: { event: 'onAfterUndoEmailChange', payload: { user, undoneEmail: LANCELOT }, to: ARTHUR, page: '/forgot-password' },
  resetPassword: { event: 'onAfterForgotPassword', payload: { user, token: TOKEN }, to: ARTHUR, page: `/reset-password#${TOKEN}` },
  emailLogin: {
    event: 'onAfterRequestEmailLogin',
    payload: { user, email: ARTHUR, code: '7KQ2-M4XP', token: TOKEN, lifetimeSeconds: 600, ip: '203.0.113.7', userAgent: null },
    to: ARTHUR,
    page: `/email-login#${TOKEN}`
  },
  passwordChanged: { event: 'onAfterResetPassword', payload: { user }, to: ARTHUR, page: '/forgot-password' },
  accountExists: { event: 'onRegisterExisting', payload: { user, attempt: 'register' }, to: ARTHUR, page: '/login' },
  newDevice: {
    event: 'onNewDevice',
    payload: {
      user,
      backend: 'jwt',
      method: 'password',
      ip: '203.0.113.7',
      userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
    },
    to: ARTHUR,
    page: '/forgot-password'
  },
  loginMethodAdded: { event: 'onLoginMethodAdded', payload: { user, kind: 'provider', method: 'google' }, to: ARTHUR, page: '/forgot-password' },
  loginMethodRemoved: { event: 'onLoginMethodRemoved', payload: { user, kind: 'passkey', method: 'My phone' }, to: ARTHUR, page: '/forgot-password' },
  secondFactorAdded: { event: 'onLoginMethodAdded', payload: { user, kind: 'second-factor', method: 'TOTP' }, to: ARTHUR, page: '/forgot-password' },
  secondFactorRemoved: { event: 'onLoginMethodRemoved', payload: { user, kind: 'second-factor', method: 'TOTP' }, to: ARTHUR, page: '/forgot-password' },
  recoveryCodeUsed: { event: 'onAfterUseRecoveryCode', payload: { user, remaining: 3 }, to: ARTHUR, page: '/forgot-password' },
  recoveryCodesReplaced: { event: 'onAfterCreateRecoveryCodes', payload: { user, isReplacement: true }, to: ARTHUR, page: '/forgot-password' },
  accountDeletionRequested: {
    event: 'onAfterRequestDeletion',
    payload: { user, token: TOKEN, deletesAt: new Date(Date.UTC(2026, 0, 2, 3, 4)) },
    to: ARTHUR,
    page: `/undo-deletion#${TOKEN}`
  },
  accountDeletionUndone: { event: 'onAfterUndoDeletion', payload: { user }, to: ARTHUR, page: '/login' },
  accountDeleted: { event: 'onAfterDeleteAccount', payload: { user }, to: ARTHUR, page: '/login' },
  accountLocked: { event: 'onAccountLocked', payload: { user, failures: 100 }, to: ARTHUR, page: '/forgot-password' }
}
