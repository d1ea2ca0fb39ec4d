import type { FastifyInstance } from 'fastify'
import type { NewUser, User } from '../contracts/user.js'
import { isUsersError } from '../errors.js'
import { userModel, type UsersService } from '../users/index.js'
import { withApplication } from './application.js'
import { failWith, type Command, type ExitCode, type Terminal, type Values } from './command.js'
import { CONFIG_FILE, withConfig, type Config } from './config.js'
import { messageOf } from './error-messages.js'

const HELP = `Usage: fastify-users create-superuser --email EMAIL [options]

Creates an active superuser whose e-mail counts as verified. The command asks for the
password on a terminal; otherwise it reads one line from the pipe. The password must
meet the password policy. Hooks run as for app.users.create.

  --email EMAIL      E-mail of the user.
  --set FIELD=VALUE  Value of a custom field. Repeat it for each field. Values of
                     fields that are not text are JSON.
  --promote          Makes an existing user a superuser. A verified user keeps the
                     password, and the command reads none. An unverified user needs a
                     new password, because another person may have registered the
                     e-mail; all sessions and linked accounts of the user are deleted.
  --config FILE      Config file with the options of the application. Default:
                     ${CONFIG_FILE}.
  --help             Prints this text.

Exit codes: 0 success, 1 refused or failed, 2 wrong usage.`

/** The command `fastify-users create-superuser`. */
export const superuserCommand: Command = {
  summary: 'Creates a superuser, or promotes an existing user.',
  help: HELP,
  options: {
    email: { type: 'string' },
    set: { type: 'string', multiple: true },
    promote: { type: 'boolean' },
    config: { type: 'string', default: CONFIG_FILE }
  },

  async run (values, terminal) {
    const email = String(values['email'] ?? '')
    if (email === '') return failWith(terminal, 'create-superuser needs --email', 2)
    if (values['promote'] === true && values['set'] !== undefined) {
      return failWith(terminal, '--promote does not change fields; remove --set', 2)
    }
    return await withConfig(values, terminal, async (config) => {
      const fields = readCustomFields(values, config)
      if ('problem' in fields) return failWith(terminal, fields.problem, 2)
      try {
        return await withApplication(config, async (app) => {
          await app.ready()
          const known = await app.users.getByEmail(email)
          return await (values['promote'] === true
            ? promote(app, known, email, terminal)
            : createSuperuser(app, known, { email, ...fields.values }, terminal))
        })
      } catch (error) {
        return failWith(terminal, isUsersError(error) ? `${messageOf(error)} (${error.code})` : messageOf(error))
      }
    })
  }
}

async function createSuperuser (
  app: FastifyInstance,
  known: User | null,
  values: Omit<NewUser, 'password'>,
  terminal: Terminal
): Promise<ExitCode> {
  if (known !== null) {
    return failWith(terminal, `a user with the e-mail ${values.email} already exists; use --promote to make it a superuser`)
  }
  const entered = await askPassword(terminal, 'Password: ')
  if ('problem' in entered) return failWith(terminal, entered.problem)
  // app.users.create validates the fields
  const user = await app.users.create({ ...values, ...entered, is_superuser: true, is_verified: true } as NewUser)
  terminal.print(`Created the superuser ${user.email} with the id ${user.id}.`)
  return 0
}

async function promote (
  app: FastifyInstance,
  known: User | null,
  email: string,
  terminal: Terminal
): Promise<ExitCode> {
  if (known === null) return failWith(terminal, `there is no user ${email}`)
  if (known.is_superuser && known.is_verified) {
    terminal.print(`${known.email} is already a superuser.`)
  } else {
    const credentials = known.is_verified ? null : await askNewPassword(app, known, terminal)
    if (credentials !== null && 'problem' in credentials) return failWith(terminal, credentials.problem)
    // sets the known e-mail again, in case another request changes it at the same time
    await app.users.update(known, { email: known.email, is_superuser: true, ...credentials })
    terminal.print(`${known.email} is a superuser now.`)
  }
  if (!known.is_active) terminal.print('The user is not active and cannot log in until is_active is true.')
  return 0
}

/**
 * Asks for a new password of a user with an unverified e-mail, which another person may have registered, and deletes
 * the linked accounts. Storing the new password and the verification revokes all sessions.
 */
async function askNewPassword (
  app: FastifyInstance,
  known: User,
  terminal: Terminal
): Promise<{ password: string; is_verified: true } | { problem: string }> {
  const entered = await askPassword(terminal, 'The e-mail is not verified. New password: ')
  if ('problem' in entered) {
    const reason = `${known.email} is not verified, so another person may have registered it`
    return { problem: `${reason}; the user needs a new password: ${entered.problem}` }
  }
  await (app.users as UsersService).removeLoginMethods(known) // the plugin decorates with the service
  return { ...entered, is_verified: true }
}

/** Reads a password: asks twice on a terminal, or reads one line from a pipe. */
async function askPassword (terminal: Terminal, prompt: string): Promise<{ password: string } | { problem: string }> {
  const password = await terminal.readSecret(prompt)
  if (password === null) {
    return {
      problem: terminal.interactive
        ? 'no password was entered'
        : 'no password was piped in; pipe one line, or run the command on a terminal'
    }
  }
  if (terminal.interactive && (await terminal.readSecret('Repeat the password: ')) !== password) {
    return { problem: 'the two passwords differ' }
  }
  return { password }
}

/** Parses the custom fields of `--set`. */
function readCustomFields (
  values: Values,
  { settings: { schemas } }: Config
): { values: Record<string, unknown> } | { problem: string } {
  const { fields } = userModel(schemas)
  const names = Object.keys(schemas.fields)
  const read: Record<string, unknown> = {}
  for (const pair of Array.isArray(values['set']) ? values['set'].map(String) : []) {
    const end = pair.indexOf('=')
    const name = pair.slice(0, Math.max(end, 0))
    if (!names.includes(name)) {
      const known = names.length === 0 ? '; there are no custom fields' : ` with one of the fields ${names.join(', ')}`
      return { problem: `--set needs FIELD=VALUE${known}` }
    }
    const text = pair.slice(end + 1)
    try {
      read[name] = fields[name]?.type === 'text' ? text : JSON.parse(text)
    } catch {
      return { problem: `--set ${name}: the value is not valid JSON` }
    }
  }
  return { values: read }
}
