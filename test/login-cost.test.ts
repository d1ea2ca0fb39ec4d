import { once } from 'node:events'
import { hash as makeArgon2, parseOptions } from '@node-rs/argon2'
import { hash as makeBcrypt } from '@node-rs/bcrypt'
import t, { type Test } from 'tap'
import type { DatabaseAdapter, PasswordHelper, UsersOptions } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import {
  createPasswordHelper,
  createUnusableHash,
  nativeHashEngine,
  type Argon2PasswordsOptions,
  type HashEngine
} from '../lib/passwords/index.js'
import { FASTAPI_USERS_PASSWORDS } from '../lib/wire/index.js'
import { buildApp, PASSWORD, storedModel, comparableReply, type TestApp } from './helpers/build-app.js'

const OWN = { memoryCost: 64, timeCost: 2, parallelism: 1, insecureFastHashing: true } as const
const ARGON2 = { algorithm: 'argon2id', memoryCost: 256, timeCost: 3, parallelism: 4 } as const
const BCRYPT = { algorithm: 'bcrypt', cost: 6 } as const
const FORMAT_NOT_NAMED = 'FST_USERS_STORED_FORMAT_NOT_NAMED'

interface Work {
  argon2: number
  bcrypt: number
}

/** Returns an engine that counts its work: KiB times passes for argon2, rounds for bcrypt. */
function countingEngine (engine: HashEngine = nativeHashEngine): HashEngine & { take(): Work } {
  let work: Work = { argon2: 0, bcrypt: 0 }
  return {
    take () {
      const taken = work
      work = { argon2: 0, bcrypt: 0 }
      return taken
    },
    hashArgon2 (password, cost) {
      work.argon2 += cost.memoryCost * cost.timeCost
      return engine.hashArgon2(password, cost)
    },
    verifyArgon2 (password, hash) {
      const { memoryCost, timeCost } = parseOptions(hash)
      work.argon2 += memoryCost * timeCost
      return engine.verifyArgon2(password, hash)
    },
    verifyBcrypt (password, hash) {
      work.bcrypt += 2 ** Number(hash.split('$')[2])
      return engine.verifyBcrypt(password, hash)
    }
  }
}

/** Rounds the argon2 work to a multiple of 3, because the padding uses whole KiB in three passes. */
function rounded ({ argon2, bcrypt }: Work): Work {
  return { argon2: Math.round(argon2 / 3) * 3, bcrypt }
}

/** An engine that does no work and accepts no password. */
const idleEngine: HashEngine = {
  hashArgon2: async () => '',
  verifyArgon2: async () => false,
  verifyBcrypt: async () => false
}

/** Returns hashes of `PASSWORD` in formats that other programs can have stored. */
async function storedHashes (passwords: PasswordHelper): Promise<Record<string, string>> {
  const argon2 = (algorithm: number, memoryCost: number, timeCost: number, parallelism = 1): Promise<string> =>
    makeArgon2(PASSWORD, { algorithm, memoryCost, timeCost, parallelism })
  return {
    own: await passwords.hash(PASSWORD),
    named: await argon2(2, 256, 3, 4),
    'very weak': await argon2(2, 8, 1),
    argon2i: await argon2(1, 100, 2),
    argon2d: await argon2(0, 200, 3),
    bcrypt: await makeBcrypt(PASSWORD, 6),
    'weak bcrypt': await makeBcrypt(PASSWORD, 4),
    'no password': await createUnusableHash(passwords),
    unreadable: '$scrypt$ln=16,r=8,p=1$x$y',
    empty: '',
    'too expensive': (await makeBcrypt(PASSWORD, 4)).replace('$04$', '$17$')
  }
}

interface Seeded extends TestApp {
  adapter: DatabaseAdapter
  names: string[]
}

const emailOf = (name: string): string => `${name.replaceAll(' ', '-')}@camelot.bt`

/** Builds an application and stores one user for each of these hashes. */
async function seed (
  t: Test,
  hashes: Record<string, string>,
  options: Partial<UsersOptions> & { passwords: PasswordHelper }
): Promise<Seeded> {
  const adapter = memory()
  const built = await buildApp(t, { adapter, ...options })
  for (const [name, hashed_password] of Object.entries(hashes)) {
    await adapter.create(storedModel('user'), {
      id: crypto.randomUUID(),
      email: emailOf(name),
      hashed_password,
      is_active: true,
      is_superuser: false,
      is_verified: false,
      session_stamp: null
    })
  }
  return { ...built, adapter, names: Object.keys(hashes) }
}

/** Returns the messages of the warnings with this code that are emitted while `work` runs. */
async function warningsOf (code: string, work: () => Promise<unknown>): Promise<string[]> {
  const messages: string[] = []
  const listen = (warning: Error & { code?: string }): void => {
    if (warning.code === code) messages.push(warning.message)
  }
  process.on('warning', listen)
  await work()
  // Node emits warnings in order and on a later tick, so this one arrives after all others
  const marker = once(process, 'warning')
  process.emitWarning('done', { code: 'DONE' })
  await marker
  await new Promise(setImmediate)
  process.removeListener('warning', listen)
  return messages
}

t.test(
  'LOG-02: every failed login costs the work of the most expensive stored format, whatever hash the user has',
  async (t) => {
    const engine = countingEngine()
    const passwords = createPasswordHelper(
      { ...OWN, storedFormats: [BCRYPT, ARGON2, { algorithm: 'argon2i', memoryCost: 8, timeCost: 1 }] },
      engine
    )
    const { login, names } = await seed(t, await storedHashes(passwords), { passwords })
    engine.take()
    for (const name of ['unknown', ...names]) {
      t.equal((await login('jwt', emailOf(name), 'wrong-password')).statusCode, 400, name)
      t.same(rounded(engine.take()), { argon2: 768, bcrypt: 64 }, name)
    }
  }
)

t.test('LOG-02: without stored formats a weak or unreadable hash costs as much as an unknown e-mail', async (t) => {
  const engine = countingEngine()
  const passwords = createPasswordHelper(OWN, engine)
  const {
    own = '',
    'very weak': weak = '',
    unreadable = '',
    empty = '',
    'no password': none = ''
  } = await storedHashes(passwords)
  const { login, names } = await seed(t, { own, weak, unreadable, empty, none }, { passwords })
  engine.take()
  for (const name of ['unknown', ...names]) {
    t.equal((await login('jwt', emailOf(name), 'wrong-password')).statusCode, 400, name)
    t.same(engine.take(), { argon2: 128, bcrypt: 0 }, name)
  }
})

t.test('LOG-02: the right password of an inactive user costs what a wrong one costs', async (t) => {
  const engine = countingEngine()
  const passwords = createPasswordHelper({ ...OWN, storedFormats: [BCRYPT, ARGON2] }, engine)
  const { login, create } = await seed(t, {}, { passwords })
  await create({ email: emailOf('inactive'), is_active: false })
  engine.take()
  const attempts = []
  for (const [name, password] of [
    ['inactive', PASSWORD],
    ['inactive', 'wrong-password'],
    ['unknown', PASSWORD]
  ] as const) {
    attempts.push({ reply: comparableReply(await login('jwt', emailOf(name), password)), work: rounded(engine.take()) })
  }
  for (const attempt of attempts) t.same(attempt, { ...attempts[0], work: { argon2: 768, bcrypt: 64 } })
})

t.test('LOG-02: the hash queue counts the work for all formats as one job', async (t) => {
  let running = 0
  let most = 0
  const tracked =
    <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) =>
      async (...args: Args): Promise<Result> => {
        most = Math.max(most, ++running)
        return await call(...args).finally(() => {
          running--
        })
      }
  const { hashArgon2, verifyArgon2, verifyBcrypt } = nativeHashEngine
  const passwords = createPasswordHelper(
    { ...OWN, concurrency: 1, storedFormats: [BCRYPT, ARGON2] },
    { hashArgon2: tracked(hashArgon2), verifyArgon2: tracked(verifyArgon2), verifyBcrypt: tracked(verifyBcrypt) }
  )
  const { named = '', bcrypt = '' } = await storedHashes(passwords)
  await Promise.all(['', named, bcrypt, ''].map((hash) => passwords.verifyAndUpdate('wrong', hash)))
  t.equal(most, 1)
})

t.test(
  "LOG-02: in compatibility mode every attempt costs what FastAPI Users' argon2id and bcrypt hashes cost",
  async (t) => {
    const engine = countingEngine(idleEngine)
    const passwords = createPasswordHelper(FASTAPI_USERS_PASSWORDS, engine)
    const rest = `$${'A'.repeat(22)}$${'A'.repeat(43)}`
    const work = { argon2: 65_536 * 3, bcrypt: 4096 }
    for (const hash of [
      '',
      `$argon2id$v=19$m=65536,t=3,p=4${rest}`,
      `$2b$12$${'.'.repeat(53)}`,
      `$2b$10$${'.'.repeat(53)}`
    ]) {
      await passwords.verifyAndUpdate('wrong', hash)
      t.same(engine.take(), work, hash)
    }
    await passwords.verifyUnknown?.('wrong')
    t.same(engine.take(), work, 'an unknown e-mail')
  }
)

t.test(
  'LOG-02: a stored hash that costs more than the named formats causes one warning, which shows no salt or digest',
  async (t) => {
    const bcrypt = await makeBcrypt(PASSWORD, 12)
    const cases: [Partial<UsersOptions>, string[]][] = [
      [{ passwords: createPasswordHelper({ ...OWN, storedFormats: [BCRYPT] }, idleEngine) }, ['2b 12']],
      [
        { passwords: createPasswordHelper({ ...OWN, storedFormats: [{ algorithm: 'bcrypt', cost: 12 }] }, idleEngine) },
        []
      ],
      // compatibility mode names its own formats
      [{ compatibility: 'fastapi-users', passwords: undefined as never }, []]
    ]
    for (const [options, formats] of cases) {
      const { login } = await seed(t, { arthur: bcrypt }, options as Parameters<typeof seed>[2])
      const warnings = await warningsOf(FORMAT_NOT_NAMED, async () => {
        for (let i = 0; i < 2; i++) await login('jwt', emailOf('arthur'), 'wrong-password')
      })
      t.same(
        warnings.map((text) => /\((.*?)\)/.exec(text)?.[1]),
        formats
      )
      t.notMatch(warnings.join(), bcrypt.slice(10))
    }
    const argon2 = await makeArgon2('x', { memoryCost: 65, timeCost: 2, parallelism: 1 })
    const [warning] = await warningsOf(FORMAT_NOT_NAMED, () =>
      createPasswordHelper(OWN, idleEngine).verifyAndUpdate('x', argon2)
    )
    t.match(warning, '(argon2id v=19 m=65,t=2,p=1)')
  }
)

t.test('invalid stored formats are refused at startup', async (t) => {
  const refused: unknown[] = [
    null,
    {},
    'bcrypt',
    [null],
    ['bcrypt'],
    [{}],
    [{ algorithm: 'scrypt' }],
    [{ algorithm: 'argon2' }],
    [{ algorithm: 'Bcrypt', cost: 12 }],
    ...[undefined, 3, 17, 12.5, '12', NaN].map((cost) => [{ algorithm: 'bcrypt', cost }]),
    ...[
      { memoryCost: 65_536 },
      { timeCost: 3 },
      { memoryCost: 7, timeCost: 1 },
      { memoryCost: 2 ** 21, timeCost: 1 },
      { memoryCost: 64, timeCost: 51 },
      { memoryCost: 64, timeCost: 1, parallelism: 17 },
      { memoryCost: '64', timeCost: 1 }
    ].map((cost) => [{ algorithm: 'argon2id', ...cost }])
  ]
  for (const storedFormats of refused) {
    t.throws(
      () => createPasswordHelper({ storedFormats } as Argon2PasswordsOptions, idleEngine),
      { code: 'FST_USERS_INVALID_OPTION', message: /storedFormats/ },
      JSON.stringify(storedFormats)
    )
  }
  for (const format of [
    { ...BCRYPT, rounds: 1 },
    { ...BCRYPT, memoryCost: 64 },
    { ...ARGON2, cost: 12 }
  ]) {
    t.throws(
      () => createPasswordHelper({ storedFormats: [format] }, idleEngine),
      { code: 'FST_USERS_UNKNOWN_OPTION', message: /storedFormats\[0\]/ },
      JSON.stringify(format)
    )
  }
})

/** Returns an engine that pauses when it hashes a stored hash. Compatibility mode does this for each reset token. */
function holdingEngine (): { engine: HashEngine; held(): number; release(): void } {
  let held = 0
  let release: () => void = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return {
    held: () => held,
    release: () => {
      release()
    },
    engine: {
      ...nativeHashEngine,
      async hashArgon2 (password, cost) {
        if (password.startsWith('$argon2')) {
          held++
          await released
        }
        return await nativeHashEngine.hashArgon2(password, cost)
      }
    }
  }
}

t.test('PW-11: logins succeed while 150 reset tokens of compatibility mode wait for their hash', async (t) => {
  const { engine, held, release } = holdingEngine()
  const passwords = createPasswordHelper({ ...OWN, concurrency: 1, maxQueued: 0 }, engine)
  const { app, login, send, create, events } = await seed(t, {}, { passwords, compatibility: { fingerprint: 'argon2' } })
  for (const name of ['arthur', 'lancelot']) await create({ email: emailOf(name) })
  const replies = await Promise.all(
    Array.from({ length: 150 }, () => send('POST', '/auth/forgot-password', { email: emailOf('arthur') }))
  )
  while (held() === 0) await new Promise(setImmediate)
  for (const name of ['lancelot', 'arthur', 'lancelot']) {
    t.equal((await login('jwt', emailOf(name))).statusCode, 200, name)
  }
  t.equal((await login('jwt', emailOf('unknown'))).statusCode, 400)
  t.equal((await send('POST', '/auth/register', { email: emailOf('galahad'), password: PASSWORD })).statusCode, 201)
  t.equal(held(), 1, 'one reset token is hashed at a time')
  const unknown = await send('POST', '/auth/forgot-password', { email: emailOf('unknown') })
  for (const reply of replies) t.same(comparableReply(reply), comparableReply(unknown))
  release()
  await app.users.settled()
  t.equal(
    events.filter(({ name }) => name === 'onAfterForgotPassword').length,
    150,
    'all tokens are created in the end'
  )
})

t.test("PW-11: reset tokens beyond the queue's limit change no reply and are logged", async (t) => {
  const { engine, release } = holdingEngine()
  const passwords = createPasswordHelper({ ...OWN, concurrency: 1, maxQueued: 0 }, engine)
  const lines: string[] = []
  const adapter = memory()
  const { app, login, send, create, events } = await buildApp(
    t,
    { adapter, passwords, compatibility: { fingerprint: 'argon2' } },
    undefined,
    {
      logger: {
        level: 'error',
        stream: {
          write: (line: string) => {
            lines.push(line)
          }
        }
      }
    }
  )
  await create({ email: emailOf('arthur') })
  const replies = await Promise.all(
    Array.from({ length: 300 }, () => send('POST', '/auth/forgot-password', { email: emailOf('arthur') }))
  )
  const unknown = await send('POST', '/auth/forgot-password', { email: emailOf('unknown') })
  for (const reply of replies) t.same(comparableReply(reply), comparableReply(unknown))
  t.equal((await login('jwt', emailOf('arthur'))).statusCode, 200)
  release()
  await app.users.settled()
  t.equal(
    events.filter(({ name }) => name === 'onAfterForgotPassword').length,
    257,
    'one token was hashed and 256 waited'
  )
  t.equal(lines.filter((line) => line.includes('FST_USERS_PASSWORD_QUEUE_FULL')).length, 43)
})
