import { Type, type TProperties, type TSchema } from '@sinclair/typebox'
import Fastify from 'fastify'
import t from 'tap'
import * as typebox from 'typebox'
import { z } from 'zod'
import { adminOnly, createOnly, readOnly, users, userSchemas } from '../lib/index.js'
import { memory } from '../lib/entries/memory.js'
import { ARTHUR, backends, buildApp, fastPasswords, PASSWORD, SECRET } from './helpers/build-app.js'

const MARKERS = { adminOnly, createOnly, readOnly }
const TypeBox1 = typebox.Type

/** Types that contain a marked schema. The marker has no effect inside them. */
const WRAPPERS: Record<string, (inner: TSchema) => TSchema> = {
  'Type.Union': (inner) => Type.Union([inner, Type.Null()]),
  'an optional Type.Union': (inner) => Type.Optional(Type.Union([inner, Type.Null()])),
  'Type.Intersect': (inner) => Type.Intersect([inner, Type.Unknown()]),
  'Type.Array': (inner) => Type.Array(inner),
  'Type.Tuple': (inner) => Type.Tuple([inner]),
  'Type.Record': (inner) => Type.Record(Type.String(), inner),
  'Type.Object': (inner) => Type.Object({ inner }),
  'Type.Object, additional properties': (inner) => Type.Object({}, { additionalProperties: inner }),
  'Type.Partial': (inner) => Type.Partial(Type.Object({ inner })),
  'Type.Composite': (inner) => Type.Composite([Type.Object({ inner })]),
  'Type.Not': (inner) => Type.Not(inner),
  'Type.Unsafe': (inner) => Type.Unsafe({ anyOf: [inner, { type: 'null' }] }),
  'three types': (inner) => Type.Array(Type.Object({ deep: Type.Union([inner, Type.Null()]) }))
}

for (const [marker, mark] of Object.entries(MARKERS)) {
  t.test(`${marker} inside another type is refused at startup`, async (t) => {
    for (const [wrapper, wrap] of Object.entries(WRAPPERS)) {
      for (const outer of [(schema: TSchema) => schema, adminOnly]) {
        const field = outer(wrap(mark(Type.String({ default: 'x' }))))
        t.throws(
          () => userSchemas({ field: { ...field, default: null } as TSchema }),
          { code: 'FST_USERS_INVALID_FIELD', message: new RegExp(`"field" has ${marker} inside another type`) },
          wrapper
        )
      }
    }
  })
}

t.test('a marker works inside and outside of Type.Optional, Type.Readonly and unions of one type', async (t) => {
  const inner = Type.String()
  const fields: Record<string, TSchema> = {
    outside: adminOnly(Type.Optional(inner)),
    inside: Type.Optional(adminOnly(inner)),
    readonly: Type.Readonly(Type.Optional(adminOnly(inner))),
    single_union: Type.Optional(Type.Union([adminOnly(inner)])),
    single_intersect: Type.Optional(Type.Intersect([adminOnly(inner)])),
    whole_union: adminOnly(Type.Optional(Type.Union([inner, Type.Null()])))
  }
  const { app, send, register, bearer } = await buildApp(t, {
    schemas: userSchemas(fields) as ReturnType<typeof userSchemas>
  })
  const values = Object.fromEntries(Object.keys(fields).map((name) => [name, 'taken']))
  const user = await register(values)
  const ownReply = await send('PATCH', '/users/me', values, await bearer(ARTHUR))
  for (const name of Object.keys(fields)) t.equal(ownReply.json<Record<string, unknown>>()[name] ?? null, null, name)
  await app.users.update(user, { is_superuser: true })
  const adminReply = await send('PATCH', `/users/${user.id}`, values, await bearer(ARTHUR))
  t.match(adminReply.json(), values)
})

t.test('two different markers on one schema are refused', async (t) => {
  const refusal = { code: 'FST_USERS_INVALID_FIELD', message: /marked both/ }
  t.throws(() => adminOnly(readOnly(Type.String())), refusal)
  t.throws(() => readOnly(Type.Optional(adminOnly(Type.String()))), refusal)
  t.doesNotThrow(() => adminOnly(adminOnly(Type.String())))
})

/** Schemas of other libraries, which the plugin cannot read reliably. */
const OTHER_LIBRARIES: Record<string, () => unknown> = {
  'typebox 1: String': () => TypeBox1.String(),
  'typebox 1: Optional': () => TypeBox1.Optional(TypeBox1.String()),
  'typebox 1: marked Optional': () => adminOnly(TypeBox1.Optional(TypeBox1.String()) as unknown as TSchema),
  'typebox 1: with a default': () => readOnly(TypeBox1.String({ default: 'x' }) as unknown as TSchema),
  'typebox 1: around our type': () =>
    TypeBox1.Optional(adminOnly(Type.String()) as unknown as typebox.TSchema),
  'typebox 1: Union': () => TypeBox1.Union([TypeBox1.String(), TypeBox1.Null()]),
  'typebox 1: inside our Array': () => Type.Array(TypeBox1.String() as unknown as TSchema),
  'typebox 1: inside our Object': () => Type.Object({ a: TypeBox1.Optional(TypeBox1.String()) as unknown as TSchema }),
  'typebox 1: inside our Optional': () => Type.Optional(TypeBox1.String() as unknown as TSchema),
  'typebox 1: inside our Union': () => Type.Union([Type.Null(), TypeBox1.String() as unknown as TSchema]),
  Zod: () => z.string(),
  'plain JSON': () => ({ type: 'string' }),
  text: () => 'string',
  nothing: () => null
}

t.test('schemas of other libraries are refused at startup with a message that names our Type', async (t) => {
  for (const [name, make] of Object.entries(OTHER_LIBRARIES)) {
    t.throws(
      () => userSchemas({ nick: make() } as TProperties),
      { code: 'FST_USERS_INVALID_FIELD', message: /"nick" must be made with the Type that fastify-users exports/ },
      name
    )
  }
})

t.test('each type that has a database column is accepted as a custom field', async (t) => {
  const schemas = userSchemas({
    text: Type.String({ default: '' }),
    choice: Type.Union([Type.Literal('a'), Type.Literal('b'), Type.Null()], { default: null }),
    numbers: Type.Array(Type.Number(), { default: [] }),
    pair: Type.Optional(Type.Tuple([Type.String(), Type.Integer()])),
    record: Type.Optional(Type.Record(Type.String(), Type.Boolean())),
    tree: Type.Optional(
      Type.Object({ leaf: Type.Optional(Type.String()), more: Type.Composite([Type.Object({ a: Type.Null() })]) })
    ),
    enumerated: Type.Optional(Type.Enum({ A: 'a', B: 'b' })),
    raw: Type.Optional(
      Type.Unsafe<{ a?: string }>({ type: 'object', properties: { a: { type: 'string' } }, items: {} })
    ),
    pattern: Type.Optional(Type.TemplateLiteral('a-${b|c}')), // eslint-disable-line no-template-curly-in-string
    anything: Type.Optional(Type.Any())
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(users, {
    adapter: memory(),
    secret: SECRET,
    backends: backends(),
    passwords: fastPasswords,
    limits: false,
    schemas
  })
  const payload = {
    email: ARTHUR,
    password: PASSWORD,
    choice: 'b',
    pair: ['a', 1],
    record: { a: true },
    tree: { more: { a: null } },
    enumerated: 'a',
    raw: { a: 'b' },
    pattern: 'a-b',
    anything: [1]
  }
  const reply = await app.inject({ method: 'POST', url: '/auth/register', payload })
  const { password: _, ...stored } = payload
  t.match([reply.statusCode, reply.json()], [201, stored])
})
