import { component, Type, type Settings, type Static, type TSchema } from '../../feature/index.js'

/** Reply to a request for a deletion that takes place later. */
export const DeletionReply = Type.Object(
  { deletes_at: Type.String({ format: 'date-time', description: 'The account is deleted at this time or later.' }) },
  component('AccountDeletion')
)

/** Body that undoes a requested deletion. */
export const UndoDeletionBody = Type.Object({ token: Type.String({ maxLength: 8192 }) }, component('UndoDeletion'))
export type UndoDeletionBody = Static<typeof UndoDeletionBody>

const Time = Type.Union([Type.String({ format: 'date-time' }), Type.Null()])

/** Returns the schema of an export. */
export function accountExport ({ schemas }: Settings): TSchema {
  return Type.Object(
    {
      exported_at: Type.String({ format: 'date-time' }),
      user: schemas.UserRead,
      sessions: Type.Array(
        Type.Object({ created_at: Time, authenticated_at: Time, methods: Type.Array(Type.String()) })
      ),
      features: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown()), {
        description: 'Data of features, by the name of the feature.'
      })
    },
    component('AccountExport')
  )
}
