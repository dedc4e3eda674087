"""The code of a registered model: MLflow copies this file into the model's folder and runs it to load one.

It is never imported here. What it needs besides the four files of the trial is dirsweep, and the files that
its encoder reads elsewhere; where they are missing, loading says so, not the first request.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel


class ServedTrial(PythonModel):
    """A finished trial that predicts labels for the rows of a table."""

    def load_context(self, context: Any) -> None:
        """Try the trial on made-up rows. ValueError if something that it reads is missing or has changed."""
        from dirsweep.storage import Folder
        from dirsweep.tracking import rows

        self.trial = Folder(context.artifacts["trial"])
        rows.predict(self.trial, rows.example(rows.encoding(self.trial)))

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Predictions (N,) in label units for N rows; rows that are refused are MLflow's status 400."""
        from dirsweep.tracking import rows

        try:
            return rows.predict(self.trial, model_input)
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(ServedTrial())
