import type { FastifyInstance } from 'fastify'
import type { NewUser, User } from '../contracts/user.js'
import { isUsersError } from '../errors.js'
import { kHost } from '../symbols.js'
import { userModel } from '../users/index.js'
import { withApplication } from './application.js'
import { messageOf } from './arguments.js'
import type { Command, ExitCode, Terminal, Values } from './command.js'
import { CONFIG_FILE, withConfig, type Config } from './config.js'

const HELP = `Usage: fastify-users create-superuser --email ADDRESS [options]

Stores a user who may do everything, with a verified address. The password is asked
for on a terminal, or is the line that is piped in; it meets the password policy.
Hooks run as for app.users.create.

  --email ADDRESS    The address.
  --set FIELD=VALUE  The value of a custom field; once for each field. What is no text
                     is written as JSON.
  --promote          Makes a user who exists a superuser. A verified user keeps the
                     password, and none is read. An unverified one may belong to anybody
                     who registered the e-mail: it needs a new password, and all its
                     sessions and linked accounts are removed.
  --config FILE      The options of the application (${CONFIG_FILE}).
  --help             Shows this.

Exit codes: 0 done, 1 refused or failed, 2 called in a wrong way.`

/** `fastify-users create-superuser`. */
export const superuserCommand: Command = {
  summary: 'Makes a user who may do everything.',
  help: HELP,
  options: {
    email: { type: 'string' },
    set: { type: 'string', multiple: true },
    promote: { type: 'boolean' },
    config: { type: 'string', default: CONFIG_FILE }
  },

  async run (values, terminal) {
    const email = String(values['email'] ?? '')
    if (email === '') return refuse(terminal, 'create-superuser needs --email', 2)
    if (values['promote'] === true && values['set'] !== undefined) {
      return refuse(terminal, '--promote changes no field: leave out --set', 2)
    }
    return await withConfig(values, terminal, async (config) => {
      const fields = readFields(values, config)
      if ('problem' in fields) return refuse(terminal, fields.problem, 2)
      try {
        return await withApplication(config, async ({ app }) => {
          await app.ready()
          const known = await app.users.getByEmail(email)
          return await (values['promote'] === true
            ? promote(app, known, email, terminal)
            : create(app, known, { email, ...fields.values }, terminal))
        })
      } catch (error) {
        return refuse(terminal, isUsersError(error) ? `${messageOf(error)} (${error.code})` : messageOf(error))
      }
    })
  }
}

async function create (
  app: FastifyInstance,
  known: User | null,
  values: Omit<NewUser, 'password'>,
  terminal: Terminal
): Promise<ExitCode> {
  if (known !== null) return refuse(terminal, `${values.email} has a user; --promote makes it a superuser`)
  const asked = await askPassword(terminal, 'Password: ')
  if ('problem' in asked) return refuse(terminal, asked.problem)
  // create checks the fields
  const user = await app.users.create({ ...values, ...asked, is_superuser: true, is_verified: true } as NewUser)
  terminal.print(`The superuser ${user.email} was made, with the id ${user.id}.`)
  return 0
}

async function promote (
  app: FastifyInstance,
  known: User | null,
  email: string,
  terminal: Terminal
): Promise<ExitCode> {
  if (known === null) return refuse(terminal, `there is no user ${email}`)
  if (known.is_superuser && known.is_verified) {
    terminal.print(`${known.email} is a superuser already.`)
  } else {
    const given = known.is_verified ? null : await askNewPassword(app, known, terminal)
    if (given !== null && 'problem' in given) return refuse(terminal, given.problem)
    // the e-mail, in case it changes meanwhile
    await app.users.update(known, { email: known.email, is_superuser: true, ...given })
    terminal.print(`${known.email} is a superuser now.`)
  }
  if (!known.is_active) terminal.print('The user is not active, and cannot log in before is_active is true.')
  return 0
}

/**
 * Asks for a new password of a user whose e-mail nobody has proved, and removes the linked accounts. The new password
 * and the
 * verification end all sessions when they are stored.
 */
async function askNewPassword (
  app: FastifyInstance,
  known: User,
  terminal: Terminal
): Promise<{ password: string; is_verified: true } | { problem: string }> {
  const asked = await askPassword(terminal, 'The e-mail is not verified. New password: ')
  if ('problem' in asked) {
    return {
      problem: `${known.email} is not verified, so anybody may have registered it, and needs a new password: ${asked.problem}`
    }
  }
  await app[kHost].removeAttached(known)
  return { ...asked, is_verified: true }
}

/** Asks for a password: twice on a terminal, one line of a pipe. */
async function askPassword (terminal: Terminal, prompt: string): Promise<{ password: string } | { problem: string }> {
  const password = await terminal.readSecret(prompt)
  if (password === null) {
    return {
      problem: terminal.interactive
        ? 'no password was given'
        : 'no password was piped in; on a terminal it is asked for'
    }
  }
  if (terminal.interactive && (await terminal.readSecret('Again: ')) !== password) {
    return { problem: 'the passwords differ' }
  }
  return { password }
}

/** The custom fields of `--set`. */
function readFields (
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
      return {
        problem: `--set takes FIELD=VALUE${names.length === 0 ? '; there are no custom fields' : `, with one of the fields ${names.join(', ')}`}`
      }
    }
    const text = pair.slice(end + 1)
    try {
      read[name] = fields[name]?.type === 'text' ? text : JSON.parse(text)
    } catch {
      return { problem: `--set ${name}: the value is no JSON` }
    }
  }
  return { values: read }
}

function refuse (terminal: Terminal, problem: string, code: ExitCode = 1): ExitCode {
  terminal.complain(`fastify-users: ${problem}`)
  return code
}
