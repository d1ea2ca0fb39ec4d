// The commands from which fast-check composes a run.
import fc from 'fast-check'
import type { InjectOptions } from 'fastify'
import type { TestApp } from '../build-app.js'
import { Refusal, type Account, type AccountModel } from './account-model.js'
import {
  GUARDED,
  anyEmail,
  at,
  backend,
  bySuperuser,
  changes,
  currentPassword,
  describeAccount,
  describeMail,
  describeSessions,
  knownEmail,
  mail,
  newPassword,
  pickEmail,
  pickMail,
  pickSessions,
  position,
  presented
} from './arguments.js'
import * as rules from './account-rules.js'
import { callUsers, headersOf, predict, sendRequest } from './model-client.js'

export type Command = fc.AsyncCommand<AccountModel, TestApp>

/** The effect of a command: its description for the report, the predicted result, and a request or another call. */
interface Plan {
  /** The command without its arguments. */
  readonly name: string
  readonly text: string
  readonly rule: () => rules.Prediction
  readonly request?: InjectOptions
  readonly call?: (test: TestApp) => Promise<unknown>
}

class PlannedCommand implements Command {
  private text = ''
  constructor (
    private readonly isPossible: (model: Readonly<AccountModel>) => boolean,
    private readonly plan: (model: AccountModel) => Plan
  ) {}

  check (model: Readonly<AccountModel>): boolean {
    return this.isPossible(model)
  }

  async run (model: AccountModel, test: TestApp): Promise<void> {
    const { name, text, rule, request, call } = this.plan(model)
    const expected = predict(rule)
    this.text = `${text} -> ${expected instanceof Refusal ? expected.message : expected.status}`
    model.results.add(`${name}: ${expected instanceof Refusal ? expected.message : expected.status}`)
    if (request !== undefined) await sendRequest(test, request, expected)
    else if (call !== undefined) await callUsers(() => call(test), expected)
  }

  toString (): string {
    return this.text
  }

  /** Returns an equal command, so that each run of a shrunk failure has its own description. */
  [fc.cloneMethod] (): PlannedCommand {
    return new PlannedCommand(this.isPossible, this.plan)
  }
}

const anyTime = (): boolean => true
const hasMails = ({ mails }: Readonly<AccountModel>): boolean => mails.length > 0

function command<T> (
  args: fc.Arbitrary<T>,
  plan: (args: T, model: AccountModel) => Plan,
  isPossible: (model: Readonly<AccountModel>) => boolean = anyTime
): fc.Arbitrary<Command> {
  return args.map((drawn) => new PlannedCommand(isPossible, (model) => plan(drawn, model)))
}

const register = command(fc.record({ email: anyEmail, password: newPassword, flags: changes }), (args, model) => {
  const { email, password, flags } = args
  return {
    name: 'register',
    text: `register ${email} with ${password}`,
    rule: () => rules.register(model, email, password),
    request: { method: 'POST', url: '/auth/register', payload: { ...flags, email, password } }
  }
})

const loginArguments = fc.record({
  email: knownEmail,
  password: fc.oneof({ weight: 6, arbitrary: fc.constant('right') }, { weight: 1, arbitrary: newPassword }),
  backend,
  presented
})
const logIn = command(loginArguments, (args, model) => {
  const email = pickEmail(model, args.email)
  const password = args.password === 'right' ? (model.find(email)?.password ?? 'unknown-1') : args.password
  const sessions = pickSessions(model, args.presented)
  const payload = { username: email, password }
  return {
    name: 'log in',
    text: `log in as ${email} with ${password} at ${args.backend}, ${describeSessions(model, sessions)}`,
    rule: () => rules.logIn(model, email, password, args.backend, sessions),
    request: { method: 'POST', url: `/auth/${args.backend}/login`, headers: headersOf(sessions), payload }
  }
})

const logOut = command(fc.record({ backend, presented }), (args, model) => {
  const sessions = pickSessions(model, args.presented)
  return {
    name: 'log out',
    text: `log out at ${args.backend}, ${describeSessions(model, sessions)}`,
    rule: () => rules.logOut(model, args.backend, sessions),
    request: { method: 'POST', url: `/auth/${args.backend}/logout`, headers: headersOf(sessions) }
  }
})

const read = command(fc.record({ url: fc.constantFrom(...Object.keys(GUARDED)), presented }), (args, model) => {
  const sessions = pickSessions(model, args.presented)
  const { optional = false, ...flags } = GUARDED[args.url] ?? {}
  return {
    name: `GET ${args.url}`,
    text: `GET ${args.url}, ${describeSessions(model, sessions)}`,
    rule: () => (optional ? rules.readOptional(model, sessions) : rules.readOwn(model, sessions, flags)),
    request: { method: 'GET', url: args.url, headers: headersOf(sessions) }
  }
})

const changeOwn = command(fc.record({ changes, currentPassword, presented }), (args, model) => {
  const sessions = pickSessions(model, args.presented)
  const payload = withCurrentPassword(args.changes, args.currentPassword, model.identify(sessions)?.account)
  return {
    name: 'PATCH /users/me',
    text: `PATCH /users/me ${JSON.stringify(payload)}, ${describeSessions(model, sessions)}`,
    rule: () => rules.changeOwn(model, sessions, payload),
    request: { method: 'PATCH', url: '/users/me', headers: headersOf(sessions), payload }
  }
})

function withCurrentPassword (given: rules.Changes, current: string | undefined, account?: Account): rules.Changes {
  const password = current === 'right' ? account?.password : current
  return password === undefined ? given : { ...given, current_password: password }
}

const byIdArguments = fc.record({
  method: fc.constantFrom('GET', 'PATCH', 'PATCH', 'PATCH', 'DELETE'),
  account: fc.oneof({ weight: 3, arbitrary: position }, { weight: 1, arbitrary: fc.constant('own' as const) }),
  changes,
  currentPassword,
  presented: bySuperuser
})
const byId = command(byIdArguments, ({ method, ...args }, model) => {
  const sessions = pickSessions(model, args.presented)
  const own = args.account === 'own' ? model.identify(sessions)?.account : undefined
  const target = own ?? at(model.accounts, args.account === 'own' ? 0 : args.account)
  const payload = withCurrentPassword(args.changes, args.currentPassword, target)
  const details = `${describeAccount(target)}${method === 'PATCH' ? ` ${JSON.stringify(payload)}` : ''}`
  return {
    name: `${method} /users/:id`,
    text: `${method} /users/:id of ${details}, ${describeSessions(model, sessions)}`,
    rule: () => {
      if (method === 'GET') return rules.readById(model, sessions, target)
      if (method === 'DELETE') return rules.remove(model, sessions, target)
      return rules.changeById(model, sessions, target, payload)
    },
    request: {
      method: method as 'GET', // the type of the argument is text
      url: `/users/${target.id}`,
      headers: headersOf(sessions),
      ...(method === 'PATCH' ? { payload } : {})
    }
  }
})

const requestMail = command(
  fc.record({ route: fc.constantFrom('forgot-password', 'request-verify-token'), email: knownEmail }),
  (args, model) => {
    const email = pickEmail(model, args.email)
    const rule = args.route === 'forgot-password' ? rules.forgotPassword : rules.requestVerify
    return {
      name: args.route,
      text: `${args.route} for ${email}`,
      rule: () => rule(model, email),
      request: { method: 'POST', url: `/auth/${args.route}`, payload: { email } }
    }
  }
)

const resetPassword = command(
  fc.record({ mail, password: newPassword }),
  (args, model) => {
    const one = pickMail(model, args.mail, ['reset'])
    const payload = { token: one.token, password: args.password }
    return {
      name: 'reset-password',
      text: `reset the password to ${args.password} with ${describeMail(model, one)}`,
      rule: () => rules.resetPassword(model, one, args.password),
      request: { method: 'POST', url: '/auth/reset-password', payload }
    }
  },
  hasMails
)

const verify = command(
  fc.record({ mail, presented }),
  (args, model) => {
    const one = pickMail(model, args.mail, ['verify', 'email-change'])
    const sessions = pickSessions(model, args.presented)
    return {
      name: `verify, ${one.purpose}`,
      text: `verify with ${describeMail(model, one)}, ${describeSessions(model, sessions)}`,
      rule: () => rules.verify(model, one, sessions),
      request: { method: 'POST', url: '/auth/verify', headers: headersOf(sessions), payload: { token: one.token } }
    }
  },
  hasMails
)

const endSessions = command(position, (account, model) => {
  const target = at(model.accounts, account)
  return {
    name: 'endSessions',
    text: `endSessions(${describeAccount(target)})`,
    rule: () => rules.endSessions(model, target),
    call: async ({ app }) => {
      await app.users.endSessions(target.id)
    }
  }
})

/** Moves the clock. No sum of a few steps equals a lifetime, so no prediction depends on the last second. */
const tick = command(fc.constantFrom(1000, 1000, 1000, 1900, 1900, 3700, 3700, 90_000), (seconds, model) => ({
  name: 'tick',
  text: `${seconds} seconds later`,
  rule: () => {
    model.now += seconds
    return { status: 200 }
  },
  call: (test) => Promise.resolve(test.tick(seconds))
}))

/** All commands. Those that occur several times are drawn more often. */
export const COMMANDS: fc.Arbitrary<Command>[] = [
  ...[logIn, logIn, logIn, logIn, logIn, logIn, logIn, logOut, logOut, read, read, read, read, changeOwn, changeOwn],
  ...[changeOwn, byId, byId, byId, byId, byId, requestMail, requestMail, resetPassword, resetPassword, verify, verify],
  ...[register, endSessions, tick]
]
